"""What `heartline send --outbox` remembers of its input: how many lines the outbox has taken over, and a digest of them.

It is a mark in the outbox file, stored in one transaction with the line it speaks of. It stays when all is done: who
restarts a command that was killed cannot know whether it was done just before.

Invariants:
- a line is taken over once, however often the command is killed and begun again
  (test_a_killed_send_goes_on_with_each_line_once);
- an input that was done is not sent again, of a longer one only the rest
  (test_an_input_that_was_done_is_not_sent_again); one that begins otherwise is a new one
  (test_after_one_that_was_done_another_input_is_sent);
- an input other than the one before is noticed before anything of it is sent (test_another_input_is_refused);
- a line of an earlier run keeps its number (test_failures_of_an_earlier_run_are_named).
"""

import argparse
import json
from bisect import bisect_right
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .exits import Stop

if TYPE_CHECKING:
    from heartline.client import Connection, Receipt

    from .ledger import Ledger

MARK = "heartline send"
_TOO_LONG = b"\xff"  # in no line of text


class NotThisInput(Stop):
    """The outbox has lines of another input."""


class Taken:
    """The lines of one input that an outbox file has taken over. Raises NotThisInput."""

    def __init__(self, connection: "Connection", args: argparse.Namespace) -> None:
        self._connection = connection
        self._file: str = args.outbox
        address = urlsplit(args.url)
        identity: dict[str, Any] = {
            "url": f"{address.scheme}://{address.netloc}{address.path}",
            "channel": args.channel,
            "event": args.event,
            "json": args.json,
        }
        kept = json.loads(connection.marks.get(MARK, "{}"))
        if "first" in kept and any(kept[name] != value for name, value in identity.items()):
            kept = {}
        self._done_with: str | None = kept.get("first")
        """the digest of the first line, of an input that was done"""
        self._check(identity, kept)
        self.lines: int = kept.get("lines", 0)
        """how many lines were taken over before this run"""
        self.failed: int = kept.get("failed", 0)
        """how many of them are known to have come to nothing"""
        self._expected: str = kept.get("digest", "")
        self._first = ""
        self._total = 0
        self._parts: list[list[int]] = kept.get("parts", [])
        self._digest = blake2b(digest_size=16)
        self._identity = identity
        self._begin = json.dumps(identity)[:-1]
        self._parts_text = json.dumps(self._parts)
        self._unbroken = False

    def _check(self, identity: dict[str, Any], kept: dict[str, Any]) -> None:
        if not kept:
            if self._connection.restored:
                raise NotThisInput(f"--outbox: {self._file} is the outbox of another program: choose another file")
            return
        other = {name: kept.get(name) for name, value in identity.items() if kept.get(name) != value}
        if other:
            what = ", ".join(f"{name} {value!r}" for name, value in other.items())
            self._refuse(f"of {kept['lines']:,} lines for another place ({what})")

    def _refuse(self, what: str) -> None:
        if self._done_with is not None:
            raise NotThisInput(
                f"--outbox: {self._file} was last used for another input of {self.lines:,} lines, which began like this "
                "one and was done: choose another file, or let it forget that with --anew"
            )
        raise NotThisInput(
            f"--outbox: {self._file} holds the rest {what}: finish that with its own input, choose another file, or "
            "give it up with --anew"
        )

    def restore(self, ledger: "Ledger") -> None:
        """Account for the lines that are not settled yet."""
        first = [part[0] for part in self._parts]
        unsettled = self._connection.restored
        for receipt in unsettled:
            n, line = self._parts[max(0, bisect_right(first, receipt.n) - 1)]
            ledger.add(line + receipt.n - n, receipt, 0)
        if unsettled:  # parts that are wholly settled are needed no more
            self._parts = self._parts[max(0, bisect_right(first, unsettled[0].n) - 1) :]
        else:
            self._parts = []
        self._parts_text = json.dumps(self._parts)
        self._ledger = ledger
        ledger.failed += self.failed
        ledger.handled += self.lines - len(unsettled) - self.failed

    def _begin_new(self) -> None:
        """This is no continuation of the input that was done."""
        self._ledger.failed -= self.failed
        self._ledger.handled -= self.lines - self.failed
        self.lines = self.failed = 0

    def covers(self, number: int, line: bytes | None) -> bool:
        """Whether a line was taken over before this run. Ask for each, in order. Raises NotThisInput."""
        self._digest.update(_TOO_LONG if line is None else line)
        self._digest.update(b"\n")
        if number == 1:
            self._first = self._digest.hexdigest()
            if self._done_with not in {None, self._first}:
                self._begin_new()
        if number == self.lines and self._digest.hexdigest() != self._expected:
            self._refuse(f"of another input, of which it took over {number:,} lines; this one differs")
        if line is None:
            self._unbroken = False
        return number <= self.lines

    def ended(self, lines: int) -> None:
        """The input has so many lines. Raises NotThisInput."""
        self._total = lines
        if lines == 0 and self._done_with is not None:
            self._begin_new()
        elif lines < self.lines:
            self._refuse(f"of another input, of which it took over {self.lines:,} lines; this one has {lines:,}")

    def marks(self, number: int, failed: int) -> dict[str, str | None]:
        """What to store with line `number`."""
        digest = self._digest.hexdigest()
        return {
            MARK: f'{self._begin}, "lines": {number}, "failed": {failed}, "parts": {self._parts_text}, '
            f'"digest": "{digest}"}}'
        }

    def done(self, failed: int) -> dict[str, str]:
        """What to keep when every line of the input has its outcome."""
        if not self._total:
            return {} if self._done_with is None else {MARK: self._connection.marks[MARK]}
        kept = {"lines": self._total, "failed": failed, "first": self._first, "digest": self._digest.hexdigest()}
        return {MARK: json.dumps({**self._identity, **kept})}

    def last(self, failed: int) -> dict[str, str | None]:
        """What to store when the run ends before its time: only the failures are news."""
        kept = json.loads(self._connection.marks.get(MARK, "{}"))
        return {} if not kept or "first" in kept else {MARK: json.dumps({**kept, "failed": failed})}

    async def sent(self, number: int, receipt: "Receipt", failed: int) -> None:
        """A line was sent. Stores which message bears it where the messages before do not tell."""
        if not self._unbroken:
            self._unbroken = True
            self._parts.append([receipt.n, number])
            self._parts_text = json.dumps(self._parts)
            await self._connection.mark(self.marks(number, failed))  # still in the transaction of the message
