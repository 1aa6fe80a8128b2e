"""The pages about the server say what the code says."""

import re
from pathlib import Path

from heartline import Heartbeat, ServerLimits
from heartline.brokers import memory
from heartline.server import allowance, hub, questions
from heartline.transports import SocketLimits

DOCS = Path(__file__).resolve().parents[2] / "docs"
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20}


def number(text: str) -> float | None:
    if text.strip() == "None":
        return None
    value, _, unit = text.strip().replace(",", "").partition(" ")
    return float(value) * UNITS.get(unit, 1)


def test_every_limit_and_its_default_is_on_the_page() -> None:
    table = (DOCS / "limits.md").read_text().split("## Other limits")[0]
    told: dict[str, float | None] = {}
    for names, defaults in re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", table, re.MULTILINE):
        # "1,000, 1 MiB" are two values, "10,000" is one
        values = re.split(r", (?=\d)", defaults)
        told |= dict(zip(re.findall(r"`(\w+)`", names), map(number, values), strict=True))
    limits = ServerLimits()
    assert told == {name: getattr(limits, name) for name in ServerLimits.__struct_fields__}


def test_the_other_numbers_are_those_of_the_code() -> None:
    text = " ".join((DOCS / "limits.md").read_text().split())
    sockets, beat = SocketLimits(), Heartbeat()
    assert f"unsent bytes of a link | {sockets.write_limit >> 20} MiB" in text
    assert f"more than {sockets.write_high >> 20} MiB unsent" in text
    assert f"fallen to {sockets.write_low >> 10} KiB" in text
    assert f"Heartbeat({beat.interval:g}, {beat.timeout:g})" in text
    told = f"{allowance.STARTS}, and none after {allowance.SECONDS * 1000:g} ms"
    assert f"one turn of the event loop | {told}" in text
    assert f"then {hub.LAST_WORDS:g} seconds for hooks" in text
    assert f"{questions.WRITES} tries" in text
    assert f"data and {memory.ENTRY_OVERHEAD} bytes for each entry" in text
