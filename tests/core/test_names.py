"""Names of channels and events."""

import pytest

from heartline.core.names import KnownNames, check_channel, check_name, is_name


def test_at_names_belong_to_the_protocol() -> None:
    assert not is_name("@")
    assert not is_name("@who/room")
    with pytest.raises(ValueError, match="event must have"):
        check_name("@x", "event")


def test_length_and_control_characters() -> None:
    assert is_name("a" * 255)
    assert is_name("名字 with spaces/and-more")
    for bad in ("", "a" * 256, "a\nb", "\x00", "a\x7f"):
        assert not is_name(bad)


def test_other_types_are_named() -> None:
    with pytest.raises(TypeError, match="channel must be a string, not int"):
        check_name(3, "channel")


def test_a_client_may_follow_channels_of_the_protocol_but_not_the_inbox() -> None:
    assert check_channel("@who/room", "channel") == "@who/room"
    assert check_channel("room", "channel") == "room"
    for bad in ("@", "@@", "@a\n", ""):
        with pytest.raises(ValueError):
            check_channel(bad, "channel")
    with pytest.raises(TypeError):
        check_channel(None, "channel")


def test_known_names_are_checked_and_bounded() -> None:
    names = KnownNames()
    for i in range(5000):
        names.check(f"event{i}", "event")
    assert len(names._names) <= 1000
    for _ in range(2):
        with pytest.raises(ValueError):
            names.check("@event", "event")
