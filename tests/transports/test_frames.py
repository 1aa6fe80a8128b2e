import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartline.transports.frames import (
    Opcode,
    check_sendable_code,
    clip_reason,
    frame,
    frame_text,
    is_wire_code,
)
from heartline.transports.masking import KeyPool, mask, masked_frame


def test_frames_are_those_of_the_rfc() -> None:
    """RFC 6455 §5.7."""
    assert frame_text(b"Hello") == bytes.fromhex("810548656c6c6f")
    assert masked_frame(Opcode.TEXT, b"Hello", bytes.fromhex("37fa213d")) == bytes.fromhex("818537fa213d7f9f4d5158")
    assert frame(Opcode.BINARY, bytes(256))[:4] == bytes.fromhex("827e0100")
    assert frame(Opcode.BINARY, bytes(65536))[:10] == bytes.fromhex("827f0000000000010000")
    assert frame(Opcode.PING, b"") == bytes.fromhex("8900")


@pytest.mark.parametrize(("size", "header"), [(0, 2), (125, 2), (126, 4), (65535, 4), (65536, 10)])
def test_a_frame_has_the_shortest_length_form(size: int, header: int) -> None:
    payload = b"x" * size
    assert len(frame(Opcode.TEXT, payload)) == header + size
    assert frame_text(payload) == frame(Opcode.TEXT, payload)
    assert len(masked_frame(Opcode.TEXT, payload, b"abcd")) == header + 4 + size


@given(st.binary(max_size=300), st.integers(0, 9000), st.binary(min_size=4, max_size=4))
def test_masking_is_the_rfc_s_formula(payload: bytes, filler: int, key: bytes) -> None:
    payload += bytes(filler)
    masked = mask(payload, key)
    assert masked == bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
    assert mask(masked, key) == payload


@given(st.binary(max_size=300), st.integers(0, 9000), st.binary(min_size=4, max_size=4), st.sampled_from([1, 2, 9]))
def test_a_masked_frame_is_the_rfc_s_formula(payload: bytes, filler: int, key: bytes, opcode: int) -> None:
    payload += bytes(filler)
    before = bytes(bytearray(payload))
    bare = frame(opcode, payload)
    masked = masked_frame(opcode, payload, key)
    head = bytes((bare[0], bare[1] | 0x80)) + bare[2 : len(bare) - len(payload)]
    assert masked == head + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
    assert payload == before


def test_a_masking_key_is_used_once() -> None:
    pool = KeyPool()
    keys = [pool.take() for _ in range(5000)]
    assert all(len(key) == 4 for key in keys)
    assert len(set(keys)) > 4990  # birthdays: about three pairs


@given(st.text(max_size=200))
def test_a_reason_is_cut_on_a_character_boundary(reason: str) -> None:
    raw = clip_reason(reason)
    assert len(raw) <= 123
    kept = raw.decode()
    sent = reason.encode("utf-8", "replace").decode()
    assert sent.startswith(kept)
    if kept != sent:
        assert len((kept + sent[len(kept)]).encode()) > 123


def test_only_legal_close_codes_are_sent() -> None:
    legal = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
    for code in range(-1, 70000):
        assert is_wire_code(code) == (code in legal)
    for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000):
        with pytest.raises(ValueError, match="code"):
            check_sendable_code(code)
