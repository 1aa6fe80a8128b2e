"""A wrong argument of a public call raises in that call, and the error names it."""

import asyncio

from tests.variants.arguments import CALLS, told


def test_wrong_arguments_are_named() -> None:
    said = asyncio.run(told())
    assert not {call: said[call] for call, word in CALLS.items() if word not in said[call] or "nothing" in said[call]}
