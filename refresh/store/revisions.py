"""What is due on the daily bars: months that changed, what that means day by day, and what must not be taken in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from refresh.core.revision import Revision, refusals
from refresh.core.span import Action, DailyState, Due, decide_daily, examined
from refresh.store.source import Source, changed_months, daily_states, matured_months, removed_ids

ROWS_AT_ONCE = 100_000
DEFAULT_LIMIT = 20.0
"""Percent of the assets."""


@dataclass(frozen=True, slots=True)
class Detection:
    """How changes of the source are looked for, and what may be taken in unasked.

    ``lookback_days``: look only at months that reach into so many days before now; ``None``: at all of them.
    ``limit``: percent of the assets that may be restated at once; ``accept``: take everything. ``prune``: an asset
    that is gone from the source loses its bars.
    """

    lookback_days: int | None = None
    limit: float = DEFAULT_LIMIT
    accept: bool = False
    prune: bool = False

    def cutoff(self, now: datetime) -> datetime | None:
        """The day from which on the source is looked at."""
        return now - timedelta(days=self.lookback_days) if self.lookback_days else None


def daily_due(
    connection: Connection,
    source: Source,
    ids: Sequence[int] | None,
    now: datetime,
    detection: Detection,
    *,
    rebuild: bool,
) -> list[Due]:
    """What the daily bars have to take in, per asset, with the reason; and what is refused until it is accepted."""
    cutoff = None if rebuild else detection.cutoff(now)
    changed = changed_months(connection, source, ids, cutoff=cutoff, everything=rebuild)
    changed += [month for month in matured_months(connection, source, now) if ids is None or month.id in set(ids)]
    states = daily_states(connection, ids)
    dues = decide_daily(changed, states, source.tz, rebuild=rebuild)
    revised = [due for due in dues if due.action is not Action.REBUILD]
    revisions = _examine(connection, source, revised, states, now) if revised else {}
    refused = {} if detection.accept else refusals(revisions.values(), len(states), detection.limit)
    gone = [id for id in removed_ids(connection) if ids is None or id in ids] if detection.prune else []
    return [
        *(examined(due, revisions[due.id], refused.get(due.id)) if due.id in revisions else due for due in dues),
        *(Due(id, Action.PRUNE, None, None, states[id].bars) for id in gone),
    ]


def _examine(
    connection: Connection, source: Source, dues: Sequence[Due], states: Mapping[int, DailyState], now: datetime
) -> dict[int, Revision]:
    """How the daily bars of each asset would change, without changing them."""
    from refresh.store.comparison import compare_daily  # noqa: PLC0415 - numpy is loaded only where something changed

    found: dict[int, Revision] = {}
    for part in _parts(dues):
        found |= compare_daily(connection, source, part, states, now)
    return found


def _parts(dues: Sequence[Due]) -> Iterator[list[Due]]:
    """Assets whose rows fit into memory together."""
    held: list[Due] = []
    for due in dues:
        if held and sum(one.days for one in held) + due.days > ROWS_AT_ONCE:
            yield held
            held = []
        held.append(due)
    if held:
        yield held
