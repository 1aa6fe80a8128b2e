"""What was published and what readers were handed: the promise downstream, checked as it happens (design §1, §4).

Invariants, each checked under this name: `each_entry_once`, `no_silent_loss`, `true_gaps`, `true_entries`.
"""

from bisect import bisect_right

from heartline.core.effects import Entry, Lost
from heartline.core.frames import INBOX
from heartline.core.ports import LogEntry

from .clock import Violation, World
from .plan import Plan

Place = tuple[str, int]


class Channels:
    """Every log as it was written, and every reader's place in it."""

    def __init__(self, world: World, plan: Plan) -> None:
        self.world = world
        self._plan = plan
        self._logs: dict[tuple[str, str], tuple[list[int], dict[int, LogEntry]]] = {}
        self._places: dict[tuple[str, str], Place] = {}
        self.entries: int = 0
        self.gaps: int = 0
        self.handed_over: int = 0

    def appended(self, channel: str, epoch: str, entry: LogEntry) -> None:
        """An entry is in the log."""
        self.entries += 1
        offsets, entries = self._logs.setdefault((channel, epoch), ([], {}))
        if offsets and entry.offset <= offsets[-1]:
            raise Violation("true_entries", f"offset {entry.offset} of {channel} was given out twice")
        offsets.append(entry.offset)
        entries[entry.offset] = entry

    def head(self, channel: str, epoch: str) -> int:
        """The last offset of a log."""
        log = self._logs.get((channel, epoch))
        return log[0][-1] if log is not None else 0

    def place(self, reader: str, channel: str) -> Place | None:
        """Where a reader stands."""
        return self._places.get((reader, channel))

    def begin(self, reader: str, channel: str, place: Place | None) -> None:
        """A reader begins at a place, or at one not known yet."""
        if place is None:
            self._places.pop((reader, channel), None)
        else:
            self._places[(reader, channel)] = place

    def granted(self, reader: str, channel: str, epoch: str, offset: int) -> None:
        """A subscription was answered; where the reader had no place, this is it."""
        if (reader, channel) not in self._places:
            self._places[(reader, channel)] = (epoch, offset)

    def entry(self, reader: str, channel: str, log: str, entry: Entry) -> None:
        """A reader is handed an entry. `log` is the channel's name in the log."""
        self.handed_over += 1
        place = self._places.get((reader, channel))
        true = self._logs.get((log, entry.epoch), ([], {}))[1].get(entry.offset)
        if true is None or true.data != bytes(entry.data):
            raise Violation("true_entries", f"{channel} has no such entry as {entry.epoch}/{entry.offset}")
        if place is None:
            raise Violation("true_entries", f"{reader} was handed an entry of {channel} before any answer")
        epoch, offset = place
        if epoch != entry.epoch:
            raise Violation("no_silent_loss", f"{channel} went from epoch {epoch} to {entry.epoch} without a gap")
        if entry.offset <= offset:
            raise Violation("each_entry_once", f"{reader} at {offset} of {channel} was handed {entry.offset}")
        if true.prev > offset:
            raise Violation("no_silent_loss", f"{reader} went from {offset} to {entry.offset} of {channel}")
        self._places[(reader, channel)] = (epoch, entry.offset)

    def gap(self, reader: str, channel: str, log: str, lost: Lost) -> None:
        """A reader is told that entries may be lost."""
        self.gaps += 1
        place = self._places.get((reader, channel))
        if channel == INBOX and lost.reason == "epoch":
            pass  # the inbox of another session, which may bear the same epoch
        elif place is not None and place[0] == lost.epoch:
            if lost.to <= place[1]:
                raise Violation("true_gaps", f"{reader} at {place[1]} of {channel} was told of a gap to {lost.to}")
            if self._plan.ample and lost.reason in ("history", "none"):
                raise Violation("true_gaps", f"{channel} lost nothing, yet a gap names {lost.after} to {lost.to}")
        elif place is not None and lost.reason != "epoch":
            raise Violation("true_gaps", f"a gap of {channel} leads to another epoch but says {lost.reason}")
        self._places[(reader, channel)] = (lost.epoch, lost.to)

    def behind(self, reader: str, channel: str, log: str, epoch: str) -> int:
        """How many entries of the living log a reader has not been handed; -1 when it stands in another epoch."""
        place = self._places.get((reader, channel))
        if place is None or place[0] != epoch:
            return -1
        offsets = self._logs.get((log, epoch), ([], {}))[0]
        return len(offsets) - bisect_right(offsets, place[1])
