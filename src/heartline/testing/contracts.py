"""What a part that you bring yourself has to keep, as suites you can run on it.

    async def test_my_broker() -> None:
        await check_broker(MyBroker)

Each check runs against a fresh broker; the first that fails raises AssertionError, which names the check and says what
was expected. To see them one by one, hand `BROKER_CHECKS` to your test tool and run each with `run_check`.

A broker that outlives its process (`durable`) is ended and begun again as well, by a function of yours:

    async def crash(broker: MyBroker) -> MyBroker:
        ...  # end it as SIGKILL would (or copy its files as they are at this moment), and let nothing of it go on
        return MyBroker(path)  # a broker over what it left, not started

    await check_broker(lambda: MyBroker(fresh_path()), crash=crash)

Invariants:
- whatever a broker does wrong ends in an AssertionError that names the check (test_a_failure_names_its_check);
- no check sees what another has done (test_every_check_has_a_fresh_broker);
- a durable broker is never passed without its crashes (test_a_durable_broker_has_to_crash).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from heartline.core.ports import Broker, MaybeAwaitable

from .bench import Advance, Bench, Check, Crash
from .broker_channels import CHANNEL_CHECKS
from .broker_crashes import CRASH_CHECKS
from .broker_expiry import EXPIRY_CHECKS
from .broker_records import RECORD_CHECKS

__all__ = ["BROKER_CHECKS", "Advance", "Bench", "Check", "Crash", "check_broker", "run_check"]

BROKER_CHECKS: Final[tuple[Check, ...]] = (*CHANNEL_CHECKS, *RECORD_CHECKS, *CRASH_CHECKS, *EXPIRY_CHECKS)
"""The checks of `heartline.core.ports.Broker`, in the order in which `check_broker` runs them."""

_CRASHING: Final = frozenset({*CRASH_CHECKS, EXPIRY_CHECKS[1]})


async def check_broker(
    make: Callable[[], MaybeAwaitable[Broker]],
    *,
    crash: Crash | None = None,
    advance: Advance | None = None,
    patience: float = 10.0,
    checks: Sequence[Check] = BROKER_CHECKS,
    session_ttl: float | None = None,
) -> None:
    """Run every check against a broker of its own from `make`, which must share nothing with those before it.

    `crash(broker)` ends the broker as SIGKILL would, or one that was stopped, and returns another over what it left;
    a broker that is `durable` needs it, for others it is ignored. `advance(seconds)` moves the clock of the brokers of
    this check, if they have one that can be moved; without it the checks of ages wait for real. `patience` is how many
    seconds one answer or announcement may take. `session_ttl`: seconds after which the broker deletes records that no
    running node has written; None: it never does. Raises AssertionError; TypeError for a durable broker without
    `crash`.
    """
    for check in checks:
        if session_ttl is not None or check not in EXPIRY_CHECKS:
            await run_check(check, make, crash=crash, advance=advance, patience=patience, session_ttl=session_ttl)


async def run_check(
    check: Check,
    make: Callable[[], MaybeAwaitable[Broker]],
    *,
    crash: Crash | None = None,
    advance: Advance | None = None,
    patience: float = 10.0,
    session_ttl: float | None = None,
) -> None:
    """Run one check against one fresh broker. Raises AssertionError naming the check, whatever went wrong.

    A check of crashes does nothing to a broker that is not durable. Raises TypeError as `check_broker` does.
    """
    name = getattr(check, "__name__", repr(check))
    if check in EXPIRY_CHECKS and session_ttl is None:
        raise TypeError(f"session_ttl must be a number of seconds for {name}")
    try:
        made = make()
        broker = await made if isinstance(made, Awaitable) else made
    except Exception as error:
        raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error
    if broker.durable and crash is None:
        raise TypeError("crash must be a function that ends a broker and returns one over what it left: it is durable")
    if check in _CRASHING and not broker.durable:
        return
    try:
        bench = Bench(broker, patience, advance, crash, session_ttl)
        await bench.start()
        try:
            await check(bench)
        finally:
            await bench.stop()
    except AssertionError as error:
        raise AssertionError(f"{name}: {error}") from error
    except Exception as error:
        raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error
