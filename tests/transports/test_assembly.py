import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartline.transports.assembly import Assembler, WireFault, is_utf8, read_close
from heartline.transports.frames import Opcode

TEXT, BINARY, CONT = Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION


def feed(*frames: tuple[int, bool, bytes], limit: int = 1000) -> list[tuple[int, bytes]]:
    assembler = Assembler(limit)
    messages = [assembler.feed(opcode, fin, False, payload) for opcode, fin, payload in frames]
    return [message for message in messages if message is not None]


def fault(*frames: tuple[int, bool, bytes], limit: int = 1000, rsv: bool = False) -> int:
    """The code with which the last frame is refused, and only the last."""
    assembler = Assembler(limit)
    for opcode, fin, payload in frames[:-1]:
        assembler.feed(opcode, fin, False, payload)
    opcode, fin, payload = frames[-1]
    with pytest.raises(WireFault) as caught:
        assembler.feed(opcode, fin, rsv, payload)
    return caught.value.code


def test_fragments_are_joined() -> None:
    assert feed((TEXT, True, b"a")) == [(TEXT, b"a")]
    assert feed((BINARY, False, b"a"), (CONT, False, b""), (CONT, True, b"b")) == [(BINARY, b"ab")]
    assert feed((TEXT, False, b""), (CONT, True, b""), (BINARY, True, b"x")) == [(TEXT, b""), (BINARY, b"x")]


def test_a_continuation_follows_an_unfinished_message() -> None:
    assert fault((CONT, True, b"a")) == 1002
    assert fault((TEXT, True, b"a"), (CONT, False, b"a")) == 1002


def test_a_new_message_never_begins_inside_another() -> None:
    assert fault((TEXT, False, b"a"), (TEXT, True, b"b")) == 1002
    assert fault((TEXT, False, b"a"), (BINARY, False, b"b")) == 1002


def test_unknown_opcodes_and_reserved_bits_are_refused() -> None:
    for opcode in (3, 4, 5, 6, 7):
        assert fault((opcode, True, b"")) == 1002
    assert fault((TEXT, True, b"a"), rsv=True) == 1002
    assert fault((TEXT, False, b"a"), (CONT, True, b"a"), rsv=True) == 1002


def test_the_limit_counts_all_fragments() -> None:
    assert feed((TEXT, False, b"a" * 6), (CONT, True, b"b" * 4), limit=10)
    assert fault((TEXT, False, b"a" * 6), (CONT, True, b"b" * 5), limit=10) == 1009
    assert fault((TEXT, True, b"a" * 11), limit=10) == 1009


def test_no_more_than_the_limit_is_held() -> None:
    assembler = Assembler(10)
    assembler.feed(BINARY, False, False, b"x" * 10)
    for _ in range(10000):
        assembler.feed(CONT, False, False, b"")
    assert assembler.held == 10
    with pytest.raises(WireFault):
        assembler.feed(CONT, False, False, b"y")
    assert assembler.held == 0


@given(st.text(max_size=60), st.lists(st.integers(0, 240), max_size=6))
def test_text_may_be_cut_anywhere_even_inside_a_character(text: str, cuts: list[int]) -> None:
    raw = text.encode()
    points = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    parts = [raw[a:b] for a, b in itertools.pairwise(points)]
    frames = [(TEXT if i == 0 else CONT, i == len(parts) - 1, part) for i, part in enumerate(parts)]
    assert feed(*frames) == [(TEXT, raw)]


@given(st.binary(max_size=40), st.integers(1, 5))
def test_text_that_is_not_utf8_is_refused_at_the_first_frame_that_shows_it(raw: bytes, step: int) -> None:
    parts = [raw[i : i + step] for i in range(0, len(raw), step)] or [b""]
    assembler = Assembler(1000)
    for i, part in enumerate(parts):
        fin = i == len(parts) - 1
        seen = raw[: (i + 1) * step]
        try:
            assembler.feed(TEXT if i == 0 else CONT, fin, False, part)
        except WireFault as error:
            assert error.code == 1007  # noqa: PT017  # where it is raised is what is tested
            assert not _can_become_utf8(seen, final=fin)
            return
        assert _can_become_utf8(seen, final=fin)
    assert is_utf8(raw)


def _can_become_utf8(raw: bytes, *, final: bool) -> bool:
    """A slow model: whole, or completed by some continuation bytes."""
    tails = [b""]
    if not final:
        tails += [
            b"\x80",
            b"\xbf",
            b"\x80\x80",
            b"\xbf\xbf",
            b"\xbf\x80",
            b"\x80\xbf",
            b"\x80\x80\x80",
            b"\xbf\x80\x80",
        ]
        tails += [b"\x8f\x80\x80", b"\x9f\x80", b"\x90\x80\x80", b"\xa0\x80", b"\x9f\xbf", b"\xa0\xbf"]
    for tail in tails:
        try:
            (raw + tail).decode()
        except UnicodeDecodeError:
            continue
        return True
    return False


@given(st.binary(max_size=20))
def test_is_utf8_agrees_with_the_decoder(raw: bytes) -> None:
    assert is_utf8(raw) == _can_become_utf8(raw, final=True)
    assert not is_utf8(b"\xed\xa0\x80")  # a surrogate
    assert not is_utf8(b"\xc0\xaf")  # overlong


@given(st.lists(st.tuples(st.integers(0, 7), st.booleans(), st.binary(max_size=3)), max_size=12))
def test_any_order_of_frames_gives_messages_or_one_fault(frames: list[tuple[int, bool, bytes]]) -> None:
    """Against a model in three lines: who may follow whom."""
    assembler = Assembler(1000)
    inside = False
    for opcode, fin, payload in frames:
        legal = (opcode in (TEXT, BINARY) and not inside) or (opcode == CONT and inside)
        try:
            message = assembler.feed(opcode, fin, False, payload)
        except WireFault as error:
            assert error.code == 1007 or not legal  # noqa: PT017
            return
        assert legal
        assert (message is not None) == fin
        inside = not fin
        assert assembler.idle == fin


def test_a_close_frame_is_empty_or_has_a_legal_code_and_a_utf8_reason() -> None:
    assert read_close(b"") == (1005, "")
    assert read_close(b"\x03\xe8") == (1000, "")
    assert read_close(b"\x0f\xa0" + "zu spät".encode()) == (4000, "zu spät")
    for payload, code in [
        (b"\x03", 1002),
        (b"\x03\xed", 1002),  # 1005
        (b"\x03\xee", 1002),  # 1006
        (b"\x00\x00", 1002),
        (b"\xff\xff", 1002),
        (b"\x03\xe8\xff", 1007),
    ]:
        with pytest.raises(WireFault) as caught:
            read_close(payload)
        assert caught.value.code == code
