"""What a part that you bring yourself has to keep, as suites you can run on it.

    async def test_my_broker() -> None:
        await check_broker(MyBroker)

Each check runs against a fresh broker; the first that fails raises AssertionError, which names the check and says what
was expected. To see them one by one, hand `BROKER_CHECKS` to your test tool and run each with `run_check`.

Invariants:
- whatever a broker does wrong ends in an AssertionError that names the check (test_a_failure_names_its_check);
- no check sees what another has done (test_every_check_has_a_fresh_broker).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from heartline.core.ports import Broker, MaybeAwaitable

from .bench import Advance, Bench, Check
from .broker_channels import CHANNEL_CHECKS
from .broker_records import RECORD_CHECKS

__all__ = ["BROKER_CHECKS", "Advance", "Bench", "Check", "check_broker", "run_check"]

BROKER_CHECKS: Final[tuple[Check, ...]] = (*CHANNEL_CHECKS, *RECORD_CHECKS)
"""The checks of `heartline.core.ports.Broker`, in the order in which `check_broker` runs them."""


async def check_broker(
    make: Callable[[], MaybeAwaitable[Broker]],
    *,
    advance: Advance | None = None,
    patience: float = 10.0,
    checks: Sequence[Check] = BROKER_CHECKS,
) -> None:
    """Run every check against a broker of its own from `make`, which must share nothing with those before it.

    `advance(seconds)` moves the clock of the broker made last, if it has one that can be moved; without it the check of
    ages waits for real. `patience` is how many seconds one answer or announcement may take. Raises AssertionError.
    """
    for check in checks:
        await run_check(check, make, advance=advance, patience=patience)


async def run_check(
    check: Check,
    make: Callable[[], MaybeAwaitable[Broker]],
    *,
    advance: Advance | None = None,
    patience: float = 10.0,
) -> None:
    """Run one check against one fresh broker. Raises AssertionError naming the check, whatever went wrong."""
    name = getattr(check, "__name__", repr(check))
    try:
        made = make()
        broker = await made if isinstance(made, Awaitable) else made
        bench = Bench(broker, patience, advance)
        await bench.start()
        try:
            await check(bench)
        finally:
            await bench.stop()
    except AssertionError as error:
        raise AssertionError(f"{name}: {error}") from error
    except Exception as error:
        raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error
