"""The back-off in exact numbers."""

import pytest

from heartline.core.back_off import Retry
from heartline.core.policy import BackOff
from tests.core.kit import Dice

ALWAYS_MOST = [1.0] * 100


def test_accept_then_drop_grows() -> None:
    retry = Retry(BackOff(), Dice(*ALWAYS_MOST))
    # Opening a socket and hearing welcome are not told to it at all: only progress and a stable time are.
    assert [retry.failed() for _ in range(9)] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert retry.failures == 9


def test_jitter_is_full() -> None:
    retry = Retry(BackOff(), Dice(0.0, 0.5, 0.25))
    assert [retry.failed() for _ in range(3)] == [0.0, 0.25, 0.25]


def test_a_share_of_each_delay_is_waited_whatever_is_drawn() -> None:
    retry = Retry(BackOff(1.0, 4.0, least=0.5), Dice(0.0, 0.5, 1.0, 0.0))
    assert [retry.failed() for _ in range(4)] == [0.5, 1.5, 4.0, 2.0]


def test_who_is_not_trusted_makes_no_progress() -> None:
    retry = Retry(BackOff(), Dice(*ALWAYS_MOST))
    retry.failed()
    retry.trusting = False
    retry.progressed()
    assert (retry.failures, retry.proven) == (1, False)
    retry.trusting = True
    retry.progressed()
    assert (retry.failures, retry.proven) == (0, True)


def test_delay_never_exceeds_the_cap() -> None:
    retry = Retry(BackOff(base=0.1, cap=7.0), Dice(*[1.0] * 5000))
    delays = [retry.failed() for _ in range(5000)]
    assert max(delays) == 7.0
    assert delays[6:] == [pytest.approx(6.4)] + [7.0] * 4993


def test_progress_lowers_to_one_and_stability_to_nought() -> None:
    retry = Retry(BackOff(), Dice(*ALWAYS_MOST))
    for _ in range(5):
        retry.failed()
    retry.progressed()
    assert retry.failed() == 0.5
    retry.stable()
    assert retry.failed() == 0.25
    retry.stable()
    retry.progressed()
    assert retry.failed() == 0.25  # progress never raises it


def test_a_good_link_is_no_failure() -> None:
    retry = Retry(BackOff(), Dice())
    retry.failed()
    retry.progressed()
    assert retry.failures == 0
    retry.failed()
    assert retry.failures == 0  # the link that ended had been good
    retry.failed()
    assert retry.failures == 1


def test_moves_without_progress_slow_down() -> None:
    retry = Retry(BackOff(), Dice(*ALWAYS_MOST))
    assert retry.before_moving() == 0.0
    waits = []
    for _ in range(4):
        retry.left()
        waits.append(retry.before_moving())
    assert waits == [0.5, 1.0, 2.0, 4.0]
    retry.progressed()
    assert retry.before_moving() == 0.0
