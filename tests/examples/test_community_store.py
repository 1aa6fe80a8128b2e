"""What the community stores, in both databases: see the invariants of examples/community/store.py and wire.py."""

import threading
import time

import pytest

from examples.community.store import Once, Row, Store
from examples.community.wire import Draft, person_info, sanitised
from heartline import Refuse


@pytest.fixture
def store(database: str) -> Store:
    store = Store(database)
    store.enter("o-ann", "Ann", "")
    store.enter("o-bob", "Bob", "https://example.com/bob.png")
    return store


def test_two_links_say_the_same_at_once(store: Store) -> None:
    stored: list[tuple[Row, bool]] = []
    start = threading.Barrier(6)

    def say() -> None:
        start.wait()
        stored.append(store.post(Once("o-ann", "the same"), Draft(title="Hello")))

    threads = [threading.Thread(target=say) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({post["id"] for post, _ in stored}) == 1
    assert sorted(new for _, new in stored) == [False] * 5 + [True]
    assert len(store.page(2**53, 10, 0, "")) == 1
    store.close()


def test_a_repeat_leaves_no_trace(store: Store) -> None:
    post, _ = store.post(Once("o-ann", "1"), Draft(title="Hello"))
    first = store.comment(Once("o-bob", "c"), post["id"], "Hi")
    assert first[1]
    assert store.comment(Once("o-bob", "c"), post["id"], "Hi") == (first[0], False)
    with pytest.raises(Refuse, match="unknown_invitation"):  # and the name "d" is not used up by it
        store.comment(Once("o-bob", "d"), 999, "Hi")
    assert store.comment(Once("o-bob", "d"), post["id"], "Ho")[1]
    assert [one["text"] for one in store.one(post["id"], "")[0]["comments"]] == ["Hi", "Ho"]
    assert [store.love("o-bob", post["id"]), store.love("o-bob", post["id"])] == [(1, True), (1, False)]
    store.close()


def test_names_that_last_a_while_may_be_said_anew(store: Store) -> None:
    once = Once("o-ann", "words", lasts=200)
    assert store.post(once, Draft(text="again"))[1]
    assert not store.post(once, Draft(text="again"))[1]
    time.sleep(0.25)  # the thing itself: that time passes
    assert store.post(once, Draft(text="again"))[1]
    assert not store.post(once, Draft(text="again"))[1]
    store.close()


def test_pages_are_stable_while_others_post(store: Store) -> None:
    for n in range(7):
        store.post(Once("o-ann", str(n)), Draft(title=str(n)))
    first = store.page(2**53, 3, 0, "")
    assert [post["Table"] for post in first] == ["6", "5", "4"]
    seen_at = first[0]["time"]
    time.sleep(0.002)
    store.post(Once("o-bob", "x"), Draft(title="new"))
    assert [post["Table"] for post in store.page(seen_at, 3, 3, "")] == ["3", "2", "1"]
    store.close()


def test_fields_that_were_not_given_are_absent(store: Store) -> None:
    post, _ = store.post(Once("o-bob", "1"), Draft(image=["https://example.com/1.png"]))
    assert set(post) == {"id", "time", "Image", "userInfo", "love", "loved", "commentCount"}
    assert post["userInfo"] == {"nickName": "Bob", "avatarUrl": "https://example.com/bob.png"}
    store.enter("o-bob", "", "")  # a login without a name takes none away
    assert store.one(post["id"], "")[0]["userInfo"]["nickName"] == "Bob"
    store.close()


def test_the_blacklist_is_kept(store: Store) -> None:
    store.ban("o-bob", "rude")
    assert store.enter("o-bob", "Bob", "") == "rude"
    for said in (lambda: store.post(Once("o-bob", "1"), Draft(title="x")), lambda: store.love("o-bob", 1)):
        with pytest.raises(Refuse, match="banned"):
            said()
    store.unban("o-bob")
    assert store.enter("o-bob", "Bob", "") is None
    assert store.post(Once("o-bob", "1"), Draft(title="x"))[1]
    store.close()


def test_login_codes_are_remembered_for_a_while(store: Store) -> None:
    store.remember("hash", "o-ann", 10_000)
    store.remember("hash", "o-ann", 10_000)
    store.remember("old", "o-bob", -1)
    assert (store.who_had("hash"), store.who_had("old"), store.who_had("none")) == ("o-ann", None, None)
    store.close()


@pytest.mark.parametrize(
    ("html", "left"),
    [
        ("<p>a <b>b</b></p>", "<p>a <b>b</b></p>"),
        ("<script>alert(1)</script>x", "x"),
        ('<img src=x onerror="alert(1)">', ""),
        ('<p onclick="alert(1)" style="position:fixed">x</p>', "<p>x</p>"),
        ('<a href="javascript:alert(1)">x</a>', '<a rel="noopener noreferrer">x</a>'),
        ("<svg><style><a id='</style><img src=1 onerror=alert(1)>'>", ""),
        ('<iframe src="https://example.com"></iframe><object></object>', ""),
        ("<p>unclosed <i>text", "<p>unclosed <i>text</i></p>"),
    ],
)
def test_rich_text_is_sanitised(html: str, left: str) -> None:
    assert sanitised(html) == left
    assert Draft(rich=True, title="t", text=html).cleaned().text == left
    assert Draft(rich=False, title="t", text=html).cleaned().text == html  # plain text stays what it is


def test_a_person_says_anything_about_itself() -> None:
    assert person_info({"nickName": "Ann\0", "avatarUrl": "https://a/b.png"}) == ("Ann", "https://a/b.png")
    for odd in (None, 5, [], "x", {"nickName": 5, "avatarUrl": "javascript:x"}):
        assert person_info(odd) == ("", "")


def test_nothing_in_it() -> None:
    for empty in (Draft(), Draft(title="", text="\0"), Draft(rich=True, text="<script>x</script>"), Draft(image=[])):
        with pytest.raises(Refuse, match="nothing"):
            empty.cleaned()
