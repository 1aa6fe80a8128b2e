"""What `heartline prove` counts, how it shows it live, and what it says at the end."""

import dataclasses
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .terminal import StatusLine, bar, say
from .texts import Difference, Text

KILLED = ("server", "sender", "listener")
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
    skipped: int = 0
    """lines that a sender found to be taken over when it began"""
    kills: dict[str, int] = field(default_factory=dict)
    """by process"""
    outage: dict[str, float] = field(default_factory=dict)
    """processes that have no link now, and since how many seconds"""
    longest_outage: float = 0.0
    longest_silence: float = 0.0
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    _last_line: float = 0.0
    _told: float = field(default_factory=time.monotonic)
    _lives: dict[str, Counter[str]] = field(default_factory=dict)
    """counts of the clients that live now"""
    _former: Counter[str] = field(default_factory=Counter)
    """and of those before, together"""
    _killed_at: dict[str, float] = field(default_factory=dict)
    """clients that have had no link since they were killed"""

    @property
    def seconds(self) -> float:
        """How long it took, or takes."""
        return (self.ended or time.monotonic()) - self.began

    @property
    def links_died(self) -> int:
        """Links that senders and listeners have lost."""
        return self._links("lost")

    def _links(self, what: str) -> int:
        return sum((life[what] for life in self._lives.values()), self._former[what])

    def client_said(self, name: str, counts: dict[str, Any]) -> None:
        """A line of --stats-every."""
        if name not in self._lives:
            self.skipped += counts.get("sent", 0)
        self._lives[name] = Counter({what: counts[what] for what in ("links", "resumed", "lost")})
        self.longest_outage = max(self.longest_outage, counts["longest_outage"])
        if counts["outage"] is None:
            self.outage.pop(name, None)
            if (since := self._killed_at.pop(name, None)) is not None:
                self.longest_outage = max(self.longest_outage, time.monotonic() - since)
        else:
            self.outage[name] = counts["outage"]
        if "sent" in counts:
            self.sent, self.handled, self.failed = counts["sent"], counts["handled"], counts["failed"]
        else:
            self.gaps = max(self.gaps, counts["gaps"])

    def ended_life(self, name: str, *, killed: bool) -> None:
        """A process is gone; the next one of its name counts its links anew."""
        self.kills[name] = self.kills.get(name, 0) + killed
        if (counts := self._lives.pop(name, None)) is None:
            return
        linked = name not in self.outage
        counts["lost"] += killed and linked
        self._former += counts
        if killed:
            self._killed_at.setdefault(name, time.monotonic() - self.outage.get(name, 0.0))
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

    def arrived(self, lines: int, size: int) -> None:
        """So much is in the output now."""
        now = time.monotonic()
        if self._last_line and not self.ended:
            self.longest_silence = max(self.longest_silence, now - self._last_line)
        self._last_line = now
        self.received, self.received_bytes = lines, size

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

    def counts(self) -> dict[str, Any]:
        """For --stats-every."""
        return {
            "lines": self.text.lines,
            "sent": self.sent,
            "handled": self.handled,
            "received": self.received,
            "links_died": self.links_died,
            "cuts": self.cuts,
            "freezes": self.freezes,
            **{f"{name}_kills": self.kills.get(name, 0) for name in KILLED},
            "outages": {name: round(seconds, 1) for name, seconds in sorted(self.outage.items())},
            "seconds": round(self.seconds, 1),
        }

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
            **{f"{name}_kills": self.kills.get(name, 0) for name in KILLED},
            "lines_skipped": self.skipped,
            "links": self._links("links"),
            "sessions_resumed": self._links("resumed"),
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
        size, unended = self.text.size + self.text.unended, " (with the line feed its last line lacks)"
        silence = self.longest_silence
        rows = [
            ("lines", f"{self.text.lines:,}"),
            ("sent", f"{self.sent:,}"),
            ("handled", f"{self.handled:,}"),
            ("received", f"{self.received:,}"),
            ("links that died", f"{self.links_died:,}  ({faults}; {self.bytes_lost:,} bytes lost on the way)"),
            ("longest outage", f"{self.longest_outage:.1f} s without a link, {silence:.1f} s without a new line"),
            *self._report_kills(),
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

    def _report_kills(self) -> list[tuple[str, str]]:
        kills = [f"{name} {_many(self.kills[name], 'time')}" for name in KILLED if self.kills.get(name)]
        if not kills:
            return []
        went_on = f"{self.skipped:,} lines skipped as taken over, " if self.kills.get("sender") else ""
        went_on += f"{self._links('resumed'):,} of {self._links('links'):,} links resumed their session"
        return [("kill -9", ", ".join(kills)), ("went on", went_on)]


def _many(amount: int, what: str) -> str:
    return f"{amount:,} {what}{'' if amount == 1 else 's'}"
