"""What clients of the community say, and what is made of it before it is stored.

Clients in the field spell fields as here, odd ones included, leave undefined ones out, and are not strict about types:
an id may be 7 or "7", a flag true, 1 or "true".

Invariants:
- rich text is stored without anything that runs, loads or follows by itself (test_rich_text_is_sanitised);
- what cannot be stored is refused by name, whatever the database (test_rubbish_disturbs_nobody).
"""

import hashlib
from typing import Annotated, Any, Final

import msgspec
import nh3
from msgspec import Meta, Struct, field

from heartline import Refuse

Text = Annotated[str, Meta(max_length=20_000)]
Picture = Annotated[str, Meta(max_length=400_000)]
"""An address, or a small picture as data: URL."""
ClientId = Annotated[str, Meta(min_length=1, max_length=64)] | None
Number = Annotated[int, Meta(ge=0, le=2**53)] | Annotated[str, Meta(max_length=16)] | None

MOST_ROWS: Final = 100
"""The largest page."""
_LARGEST: Final = 2**31 - 1  # what an integer column holds

_TAGS: Final = {
    "a",
    "b",
    "blockquote",
    "br",
    "code",
    "em",
    "h1",
    "h2",
    "h3",
    "i",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "strong",
    "u",
    "ul",
}
_SCHEMES: Final = {"http", "https", "mailto"}


class Credentials(Struct):
    """`userLogin`. The code is what `wx.login` gave; `userOpenId` comes with it, and proves nothing."""

    code: Annotated[str, Meta(min_length=1, max_length=512)] = field(name="userCode")
    info: Any = field(name="userInfo", default=None)


class Draft(Struct):
    """`CreateInvitation`. `clientId` is our own clients' name for this very post, the same however often it is said."""

    rich: Any = field(name="isRichText", default=None)
    title: Annotated[str, Meta(max_length=200)] | None = field(name="Table", default=None)
    image: Picture | Annotated[list[Picture], Meta(max_length=9)] | None = field(name="Image", default=None)
    text: Text | None = field(name="Text", default=None)
    client_id: ClientId = field(name="clientId", default=None)

    def cleaned(self) -> "Draft":
        """As it may be stored. Raises `Refuse` where nothing is left."""
        rich = self.rich in (True, 1, "1", "true")
        text = self.text and without_zeros(self.text)
        image = [without_zeros(one) for one in self.image] if isinstance(self.image, list) else self.image
        draft = Draft(
            rich=self.rich if self.rich is None else rich,
            title=self.title and without_zeros(self.title),
            image=without_zeros(image) if isinstance(image, str) else image,
            text=sanitised(text) if rich and text else text,
        )
        if not (draft.title or draft.image or draft.text):
            raise Refuse("invalid", "there is nothing in it")
        return draft


class Remark(Struct):
    """`CreateInvitationComment`."""

    id: Number
    text: Annotated[str, Meta(min_length=1, max_length=2_000)]
    client_id: ClientId = field(name="clientId", default=None)


class Love(Struct):
    """`LoveInvitation`."""

    id: Number


class Query(Struct):
    """`GetInvitation`: one by its `id`, or with `mode` "time" a page of those made at `time` or before."""

    id: Number = None
    mode: Any = None
    time: Number = None
    limt: Number = None
    skip: Number = None

    @property
    def by_id(self) -> bool:
        """Whether one is asked for: as `mode` says, and where it says neither, if there is an id."""
        mode = self.mode.lower() if isinstance(self.mode, str) else self.mode
        return mode == "id" or (mode != "time" and self.id not in (None, ""))


def number(value: int | str | None, name: str, default: int | None = None, largest: int = _LARGEST) -> int:
    """A number as clients write it. Raises `Refuse` naming the field."""
    if value in (None, "") and default is not None:
        return default
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    if not isinstance(value, int) or value > largest:
        raise Refuse("invalid", f"{name} must be a number up to {largest}", path=f"$.{name}")
    return value


def sanitised(html: str) -> str:
    """Rich text with nothing left but its look: no scripts, styles, pictures from elsewhere, or odd links."""
    return nh3.clean(html, tags=_TAGS, attributes={"a": {"href"}}, url_schemes=_SCHEMES)


def without_zeros(text: str) -> str:
    """Text as every database can store it."""
    return text.replace("\0", "")


def digest(*parts: object) -> str:
    """The same for the same content."""
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()


def person_info(said: object) -> tuple[str, str]:
    """Nickname and picture out of what a client says about its person."""
    info = said if isinstance(said, dict) else {}
    name, avatar = info.get("nickName"), info.get("avatarUrl")
    known = avatar if isinstance(avatar, str) and avatar.startswith(("https://", "http://")) else ""
    return without_zeros(name)[:64] if isinstance(name, str) else "", without_zeros(known)[:1_000]
