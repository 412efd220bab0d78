"""What a database says before anything runs: its assets, its series, what is due on every leg and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from refresh.catalog import SOURCE, BuilderConfig, Group, Kind, Leg
from refresh.core.series import Series, choose
from refresh.core.span import Batch, Due, Survey
from refresh.errors import UsageError
from refresh.options import Request
from refresh.store import dimensions, freshness, history, schema, source, state
from refresh.store.freshness import DEFAULT_MAX_LAG, Freshness
from refresh.store.retry import DEFAULT_RETRIES
from refresh.store.revisions import DEFAULT_LIMIT, Detection, daily_due


@dataclass(frozen=True, slots=True)
class Scope:
    """One builder's part of a request: the assets (``None``: all) and series, the clock and the price table."""

    builder: BuilderConfig
    source: source.Source
    ids: tuple[int, ...] | None
    series: tuple[Series, ...]
    rebuild: bool
    now: datetime
    run_id: str
    detection: Detection
    retries: int
    max_lag: timedelta

    @property
    def tz(self) -> str:
        """The time zone that makes days of timestamps."""
        return self.source.tz

    def of(self, leg: Leg) -> tuple[Series, ...]:
        """The series that a leg's table holds."""
        family = leg.family
        return tuple(one for one in self.series if family is not None and one.timeframe.belongs_to(family))

    def chosen(self, leg: Leg, batch: Batch) -> list[Series]:
        """The series that a batch of a leg is about."""
        series = self.of(leg)
        return [series[place] for place in batch.series]


def run_name(now: datetime) -> str:
    """What a run is called: the moment of its start."""
    return now.isoformat(timespec="milliseconds")


def open_scopes(
    connection: Connection, builders: Sequence[BuilderConfig], request: Request, now: datetime
) -> tuple[Scope, ...]:
    """The scope of each builder, on tables that are created where absent and verified.

    Raises ``SchemaError``, ``DimensionError``, ``SettingsError``, and ``UsageError`` for an id, timeframe or period
    that does not exist.
    """
    tz = request.tz or "UTC"
    schema.prepare(connection, tz)
    prices = source.open_source(connection, tz)
    if request.ids is not None:
        _check_ids(request.ids, source.known_ids(connection))
    series = choose(builders, dimensions.read_dimensions(connection), request.filters)
    run_id = request.run_id or run_name(now)
    limit = DEFAULT_LIMIT if request.restate_limit is None else request.restate_limit
    detection = Detection(request.lookback_days, limit, request.accept_restatement, request.prune)
    retries = DEFAULT_RETRIES if request.retries is None else request.retries
    return tuple(
        Scope(
            builder,
            prices,
            request.ids,
            series[builder.key],
            request.full_rebuild,
            now,
            run_id,
            detection,
            retries,
            DEFAULT_MAX_LAG if request.max_lag is None else request.max_lag,
        )
        for builder in builders
    )


def _check_ids(ids: Sequence[int], known: Sequence[int]) -> None:
    unknown = sorted(set(ids) - set(known))
    if unknown:
        close = sorted(sorted(known, key=lambda id: (abs(id - unknown[0]), id))[:3])
        shown = f"nearest: {', '.join(map(str, close))}" if close else "it is empty"
        raise UsageError(f"--ids {', '.join(map(str, unknown))}: not in {SOURCE}; {shown}")


def due(connection: Connection, scope: Scope, leg: Leg) -> list[Due]:
    """What a leg has to take in from its inputs; a failure that is due again is called one."""
    dues = _due(connection, scope, leg)
    again = history.failed_before(connection, scope.builder.key, scope.run_id, [one.id for one in dues])
    return [replace(one, retried=True) if one.id in again else one for one in dues]


def _due(connection: Connection, scope: Scope, leg: Leg) -> list[Due]:
    if scope.builder.kind is Kind.DAILY:
        return daily_due(connection, scope.source, scope.ids, scope.now, scope.detection, rebuild=scope.rebuild)
    return state.series_due(connection, leg, scope.of(leg), scope.ids, rebuild=scope.rebuild)


def survey(connection: Connection, scopes: Sequence[Scope]) -> Survey:
    """What is due in all scopes, from the state tables and one pass over the source."""
    fresh = freshness.read(connection, scopes[0].now)
    ids = scopes[0].ids if scopes[0].ids is not None else tuple(source.known_ids(connection))
    dues, pending, stale = {}, {}, {}
    for scope in scopes:
        legs, key = scope.builder.legs, scope.builder.key
        dues[key] = tuple(one for leg in legs for one in due(connection, scope, leg))
        pending[key] = tuple(
            sorted({id for leg in legs for id in state.pending_inputs(connection, leg, _tfs(scope.of(leg)), ids)})
        )
        if scope.builder.group is Group.EMAS:
            stale[key] = lagging(connection, scope, ids, fresh)
    return Survey(
        ids,
        dues,
        pending,
        stale=stale,
        series={scope.builder.key: sum(max(len(scope.of(leg)), 1) for leg in scope.builder.legs) for scope in scopes},
        unselected=frozenset(
            scope.builder.key for scope in scopes if not scope.series and scope.builder.kind is not Kind.DAILY
        ),
        notices=(*_notices(connection, scopes), *_silence(connection, scopes[0], ids, fresh)),
    )


def lagging(
    connection: Connection, scope: Scope, ids: Sequence[int] | None = None, fresh: Freshness | None = None
) -> dict[int, str]:
    """The assets whose bars lag too far behind the source for EMAs to be built on them, and how far."""
    fresh = fresh or freshness.read(connection, scope.now)
    tfs = {leg: _tfs(scope.of(leg)) for leg in scope.builder.legs}
    asked = list(fresh.last) if ids is None else ids
    return freshness.stale(connection, scope.builder, fresh, tfs=tfs, ids=asked, max_lag=scope.max_lag)


def _silence(connection: Connection, scope: Scope, ids: Sequence[int], fresh: Freshness) -> list[str]:
    """What the source has stopped telling of."""
    known = set(ids)
    found = {id: last for id, last in freshness.silent(connection, fresh, scope.max_lag).items() if id in known}
    if len(found) == len(known):
        return [f"nothing new from the source for any asset since {max(found.values()):%Y-%m-%d}"] if found else []
    shown = [f"id {id} since {last:%Y-%m-%d}" for id, last in found.items()]
    return [f"nothing new from the source: {', '.join(shown)}"] if shown else []


def _notices(connection: Connection, scopes: Sequence[Scope]) -> tuple[str, ...]:
    """What is left as it is: assets gone from the source, and series of disabled timeframes and periods."""
    gone = [] if scopes[0].detection.prune else source.removed_ids(connection)
    known = dimensions.read_dimensions(connection)
    legs = [leg for scope in scopes for leg in scope.builder.legs if leg.family]
    tfs = state.built_timeframes(connection, legs) - {one.tf for one in known.timeframes}
    periods = state.built_periods(connection, legs) - set(known.periods)
    shown = {
        "gone from the source, bars kept (remove them with --prune)": [f"id {id}" for id in gone],
        "disabled and not refreshed, rows kept": [*sorted(tfs), *(f"period {one}" for one in sorted(periods))],
    }
    return tuple(f"{what}: {', '.join(names)}" for what, names in shown.items() if names)


def _tfs(series: Sequence[Series]) -> list[str]:
    return list(dict.fromkeys(one.timeframe.tf for one in series))
