"""The replies and failures a session keeps until its client needs them no more (PROTOCOL 3.4).

A list from the first number kept on, and not a dict: an answer touches a third of the memory, and memory is what a
hundred busy sessions wait for.

Invariants:
- what was kept is there until it is dropped, and nothing else is (test_results_are_a_dict_of_numbers);
- `size` is the sum of the bytes of what is kept (test_results_are_a_dict_of_numbers).
"""

from collections.abc import Iterator


class Results:
    """Frames by number; numbers lie so close together (`SPAN`) that gaps cost little."""

    __slots__ = ("_first", "_payloads", "size")

    def __init__(self) -> None:
        self._payloads: list[bytes | None] = []
        self._first: int = 0
        self.size: int = 0
        """in bytes"""

    def keep(self, n: int, payload: bytes) -> None:
        """Keep a frame, in the place of what was kept for its number."""
        payloads = self._payloads
        if not payloads:
            self._first = n
        at = n - self._first
        self.size += len(payload)
        if at == len(payloads):
            payloads.append(payload)
            return
        if at < 0:
            payloads[:0] = [None] * -at
            self._first = n
            at = 0
        while len(payloads) <= at:
            payloads.append(None)
        old = payloads[at]
        if old is not None:
            self.size -= len(old)
        payloads[at] = payload

    def get(self, n: int) -> bytes | None:
        """What is kept for a number."""
        at = n - self._first
        return self._payloads[at] if 0 <= at < len(self._payloads) else None

    def drop_below(self, floor: int) -> None:
        """Forget what has a lower number."""
        payloads = self._payloads
        count = min(max(0, floor - self._first), len(payloads))
        while count < len(payloads) and payloads[count] is None:
            count += 1
        for payload in payloads[:count]:
            if payload is not None:
                self.size -= len(payload)
        del payloads[:count]
        self._first += count

    def items(self) -> Iterator[tuple[int, bytes]]:
        """Numbers and frames, in rising order."""
        n = self._first
        for payload in self._payloads:
            if payload is not None:
                yield n, payload
            n += 1

    def __len__(self) -> int:
        return len(self._payloads) - self._payloads.count(None)
