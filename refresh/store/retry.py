"""Transient errors of the database, and retrying what they interrupted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from refresh.errors import DatabaseUnreachableError
from refresh.store.server_errors import connection_lost, limit, sql_state

_PAUSE = wait_exponential_jitter(initial=1, max=30, jitter=1)
"""Four retries wait at least fifteen seconds in all: a restarting server is back by then."""
_TRANSIENT = {
    "40001",  # serialization failure
    "25P03",  # a session that waited too long in a transaction
    "25P04",  # a transaction that took too long
    "40P01",  # deadlock
    "53300",  # too many connections
    "55P03",  # lock not available
    "57P01",  # the administrator ended the session, as when the server stops
    "57P02",  # the server crashed
    "57P03",  # the server is starting
    "57P05",  # a session that waited too long
}

Result = TypeVar("Result")


def is_transient(error: BaseException) -> bool:
    """Whether the same statement may work later: the connection was lost, a deadlock, a restart."""
    if isinstance(error, DatabaseUnreachableError):
        return True
    return isinstance(error, Exception) and (connection_lost(error) or sql_state(error) in _TRANSIENT)


def may_pass(error: BaseException) -> bool:
    """The same for work that only reads: also a limit of the session that ended it may not do so again."""
    return is_transient(error) or (isinstance(error, Exception) and limit(error) is not None)


def retried(
    work: Callable[[int], Result],
    retries: int,
    note: Callable[[Exception], None],
    *,
    is_temporary: Callable[[BaseException], bool] = is_transient,
) -> Result:
    """The result of ``work``, which is retried up to ``retries`` times while its error is temporary.

    ``work`` gets the number of earlier tries; ``note`` gets each error that is retried, before the pause.
    """

    def before_pause(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Exception):
            note(error)

    for attempt in Retrying(
        stop=stop_after_attempt(retries + 1),
        wait=_PAUSE,
        retry=retry_if_exception(is_temporary),
        before_sleep=before_pause,
        reraise=True,
    ):
        with attempt:
            return work(attempt.retry_state.attempt_number - 1)
    raise AssertionError("a Retrying ends by returning or raising")
