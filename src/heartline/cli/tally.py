"""What `heartline prove` counts, how it shows it live, and what it says at the end."""

import dataclasses
import time
from dataclasses import dataclass, field
from typing import Any

from .terminal import StatusLine, bar, say
from .texts import Difference, Text

PLAIN_EVERY = 2.0  # seconds between lines where there is no terminal


@dataclass(slots=True)
class Tally:
    """Counts of one run. Times are seconds since it began."""

    text: Text
    sent: int = 0
    handled: int = 0
    failed: int = 0
    received: int = 0
    received_bytes: int = 0
    gaps: int = 0
    cuts: int = 0
    freezes: int = 0
    refused: int = 0
    bytes_lost: int = 0
    kills: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    """links that died, by process"""
    outage: dict[str, float] = field(default_factory=dict)
    """processes that have no link now, and since how many seconds"""
    longest_outage: float = 0.0
    longest_silence: float = 0.0
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    _last_line: float = 0.0
    _told: float = field(default_factory=time.monotonic)
    _incarnation: dict[str, int] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it took, or takes."""
        return (self.ended or time.monotonic()) - self.began

    @property
    def links_died(self) -> int:
        """Links that senders and listeners have lost."""
        return sum(self.lost.values()) + sum(self._incarnation.values())

    def client_said(self, name: str, counts: dict[str, Any]) -> None:
        """A line of --stats-every."""
        self._incarnation[name] = counts["lost"]
        self.longest_outage = max(self.longest_outage, counts["longest_outage"])
        if counts["outage"] is None:
            self.outage.pop(name, None)
        else:
            self.outage[name] = counts["outage"]
        if "sent" in counts:
            self.sent, self.handled, self.failed = counts["sent"], counts["handled"], counts["failed"]
        else:
            self.gaps = max(self.gaps, counts["gaps"])

    def client_ended(self, name: str, *, killed: bool = False) -> None:
        """A process is gone; the next one of its name counts its links anew."""
        self.lost[name] = self.lost.get(name, 0) + self._incarnation.pop(name, 0) + killed
        self.kills += killed
        self.outage.pop(name, None)

    def proxy_said(self, event: dict[str, Any]) -> None:
        """A line of the proxy."""
        what = event.get("what")
        self.cuts += what == "cut"
        self.refused += what in {"refused", "hung"}
        # A link that is frozen both ways says so twice.
        self.freezes += what == "frozen" and event.get("direction") != "down"
        if what == "summary":
            self.bytes_lost += int(event["bytes_lost"])

    def line_received(self, size: int) -> None:
        """A line arrived at the listener."""
        now = time.monotonic()
        if self._last_line:
            self.longest_silence = max(self.longest_silence, now - self._last_line)
        self._last_line = now
        self.received += 1
        self.received_bytes += size

    def show(self, status: StatusLine) -> None:
        """Show how it goes."""
        died = f"links died {self.links_died:,}"
        if self.refused:
            died += f", dials refused {self.refused:,}"
        out = [f"{name} without a link for {seconds:.1f} s" for name, seconds in sorted(self.outage.items())]
        counts = f"sent {self.sent:,}  handled {self.handled:,}  received {self.received:,}"
        line = f"{counts}  {died}  {', '.join(out) or 'both have a link'}"
        if status.visible:
            out = [f"{name} {seconds:.1f} s without" for name, seconds in sorted(self.outage.items())]
            status.show(f"{bar(self.received / self.text.lines, 12)} {counts}  {died}  {', '.join(out)}")
        elif time.monotonic() - self._told >= PLAIN_EVERY:
            self._told = time.monotonic()
            say(f"{self.seconds:6.1f} s  {line}")

    def as_dict(self, problems: list[str], difference: Difference | None) -> dict[str, Any]:
        """For --json."""
        return {
            "ok": not problems and difference is None,
            "text": self.text.about,
            "lines": self.text.lines,
            "sent": self.sent,
            "handled": self.handled,
            "received": self.received,
            "links_died": self.links_died,
            "cuts": self.cuts,
            "freezes": self.freezes,
            "dials_refused": self.refused,
            "bytes_lost": self.bytes_lost,
            "listener_kills": self.kills,
            "longest_outage": round(self.longest_outage, 3),
            "longest_silence": round(self.longest_silence, 3),
            "seconds": round(self.seconds, 3),
            "lines_per_second": round(self.received / self.seconds, 1) if self.seconds else 0.0,
            "input_bytes": self.text.size + self.text.unended,
            "output_bytes": self.received_bytes,
            "difference": dataclasses.asdict(difference) if difference else None,
            "problems": problems,
        }

    def report(self, problems: list[str], difference: Difference | None) -> str:
        """For people."""
        faults = f"{_many(self.cuts, 'cut')}, {_many(self.freezes, 'freeze')}"
        if self.refused:
            faults += f", {_many(self.refused, 'dial')} refused"
        if self.kills:
            faults += f", listener killed {_many(self.kills, 'time')}"
        size, unended = self.text.size + self.text.unended, " (with the line feed its last line lacks)"
        silence = self.longest_silence
        rows = [
            ("lines", f"{self.text.lines:,}"),
            ("sent", f"{self.sent:,}"),
            ("handled", f"{self.handled:,}"),
            ("received", f"{self.received:,}"),
            ("links that died", f"{self.links_died:,}  ({faults}; {self.bytes_lost:,} bytes lost on the way)"),
            ("longest outage", f"{self.longest_outage:.1f} s without a link, {silence:.1f} s without a new line"),
            ("time", f"{self.seconds:.1f} s, {self.received / max(self.seconds, 1e-9):,.0f} lines/s"),
            ("input", f"{size:,} bytes{unended if self.text.unended else ''}"),
            ("output", f"{self.received_bytes:,} bytes"),
        ]
        lines = [f"{name + ' ':.<18} {value}" for name, value in rows]
        lines += [f"PROBLEM: {problem}" for problem in problems]
        if difference is not None:
            lines += [
                f"DIFFERENCE at line {difference.line:,}:",
                f"  sent      {difference.expected or 'nothing: the input has ended'}",
                f"  received  {difference.received or 'nothing: the output has ended'}",
            ]
        if not problems and difference is None:
            lines.append("kept: every line once, in order, byte for byte the same")
        return "\n".join(lines)


def _many(amount: int, what: str) -> str:
    return f"{amount:,} {what}{'' if amount == 1 else 's'}"
