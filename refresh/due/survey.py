"""What is known of a database before a run: its assets, its series, what is due on every leg and why.

Only reads. The caller has prepared or verified the tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import Connection

from refresh.catalog import SOURCE, BuilderConfig, Leg, shape_of
from refresh.due import freshness, zones
from refresh.due.decision import Action, Due, Survey
from refresh.due.decisions import Decisions
from refresh.due.scope import Scope
from refresh.due.selection import Selection
from refresh.due.series import choose
from refresh.errors import UsageError
from refresh.store import dimensions, settings, source, source_index, unsettled
from refresh.wording import listed, nearest_numbers


def run_name(now: datetime) -> str:
    """The name of a run: the moment of its start."""
    return now.isoformat(timespec="milliseconds")


def open_scopes(
    connection: Connection,
    builders: Sequence[BuilderConfig],
    selection: Selection,
    now: datetime,
    run_id: str | None = None,
) -> tuple[Scope, ...]:
    """The scope of each builder.

    Raises ``SchemaError``, ``DimensionError``, and ``UsageError`` for an id, timeframe or period that does not exist.
    """
    prices = source.open_source(connection, selection.tz)
    if selection.ids is not None:
        _check_ids(selection.ids, source.known_ids(connection))
    series = choose(builders, dimensions.read_dimensions(connection), selection.filters)
    run_id = run_id or run_name(now)
    scopes = []
    for builder in builders:
        own = series[builder.key]
        scope = Scope(builder=builder, selection=selection, series=own, source=prices, now=now, run_id=run_id)
        scopes.append(scope)
    return tuple(scopes)


def _check_ids(ids: Sequence[int], valid: Sequence[int]) -> None:
    unknown = sorted(set(ids) - set(valid))
    if unknown:
        close = nearest_numbers(unknown[0], valid, none="it is empty")
        raise UsageError(f"--ids {listed(unknown)}: not in {SOURCE}; {close}")


def due(connection: Connection, scope: Scope, leg: Leg) -> list[Due]:
    """What a leg has to take in from its input."""
    return Decisions(scope).due(connection, leg, scope.selection.ids)


def survey(connection: Connection, scopes: Sequence[Scope]) -> Survey:
    """What is due in all scopes, from the state tables and one pass over the source."""
    fresh = freshness.read_freshness(connection, scopes[0].now, scopes[0].tz)
    ids = asset_ids(connection, scopes[0])
    by_key = {scope.builder.key: scope for scope in scopes}
    dependent = {key: scope for key, scope in by_key.items() if "freshness" in scope.builder.accepts}
    dues = {key: tuple(_planned(connection, scope)) for key, scope in by_key.items()}
    notices = [*_notices(connection, scopes), *_silence(connection, scopes[0], ids, fresh)]
    for scope in scopes:
        notices += _contradicted_zone(connection, scope, dues[scope.builder.key])
    return Survey(
        ids=ids,
        dues=dues,
        pending={key: tuple(_pending(connection, scope, ids)) for key, scope in by_key.items()},
        stale={key: freshness.lagging(connection, scope, ids, fresh) for key, scope in dependent.items()},
        series={key: _number_of_series(scope) for key, scope in by_key.items()},
        unselected=frozenset(key for key, scope in by_key.items() if _is_unselected(scope)),
        notices=tuple(notices),
    )


def asset_ids(connection: Connection, scope: Scope) -> tuple[int, ...]:
    """The assets that a scope is about."""
    ids = scope.selection.ids
    return tuple(source.known_ids(connection)) if ids is None else ids


def _planned(connection: Connection, scope: Scope) -> list[Due]:
    """What is due on all legs, and what it means for the days of each asset."""
    decisions = Decisions(scope)
    dues: list[Due] = []
    for leg in scope.builder.legs:
        dues += decisions.due(connection, leg, scope.selection.ids)
    if "source" in scope.builder.accepts:
        return decisions.daily.examined(connection, dues)
    return dues


def _pending(connection: Connection, scope: Scope, ids: Sequence[int]) -> list[int]:
    """The assets whose input waits to be rewritten, in order."""
    pending: set[int] = set()
    for leg in scope.builder.legs:
        table = leg.follows.table
        if table != SOURCE and shape_of(table).has_timeframes:
            pending.update(unsettled.pending_inputs(connection, leg, scope.tfs_of(leg), ids))
    return sorted(pending)


def _number_of_series(scope: Scope) -> int:
    return sum(max(len(scope.series_of(leg)), 1) for leg in scope.builder.legs)


def _is_unselected(scope: Scope) -> bool:
    return scope.builder.has_timeframes and not scope.series


def _silence(connection: Connection, scope: Scope, ids: Sequence[int], fresh: freshness.Freshness) -> list[str]:
    """A notice of what the source has stopped delivering, if anything."""
    selected = set(ids)
    silent = freshness.silent(connection, fresh, scope.selection.max_lag)
    last_times = {id: last for id, last in silent.items() if id in selected}
    if not last_times:
        return []
    if len(last_times) == len(selected):
        return [f"nothing new from the source for any asset since {max(last_times.values()):%Y-%m-%d}"]
    assets = listed(f"id {id} since {last:%Y-%m-%d}" for id, last in last_times.items())
    return [f"nothing new from the source: {assets}"]


def _contradicted_zone(connection: Connection, scope: Scope, dues: Sequence[Due]) -> list[str]:
    """A notice of assets that changed and whose times are midnight in another zone, if any."""
    if "source" not in scope.builder.accepts:
        return []
    changed = sorted(due.id for due in dues if due.action is not Action.PRUNE)
    is_settled = settings.remembered_zone(connection) is not None
    return zones.contradictions(connection, scope.source, changed, is_settled=is_settled)


def _notices(connection: Connection, scopes: Sequence[Scope]) -> list[str]:
    """What is left as it is: assets gone from the source, and series of disabled timeframes and periods."""
    notices = list(_wide_ids(connection, scopes[0].source))
    gone = [] if scopes[0].selection.detection.prune else source.removed_ids(connection)
    if gone:
        ids = listed(f"id {id}" for id in gone)
        notices.append(f"gone from the source, bars kept (remove them with --prune): {ids}")
    disabled = _disabled(connection, scopes)
    if disabled:
        notices.append(f"disabled and not refreshed, rows kept: {listed(disabled)}")
    return notices


def _wide_ids(connection: Connection, prices: source.Source) -> Iterator[str]:
    """A notice of each id that no asset can have."""
    others = source_index.other_ids(connection) if prices.has_wide_ids else []
    if not others:
        return
    free = max(source.known_ids(connection), default=0)
    for position, id in enumerate(others, 1):
        yield (
            f"{SOURCE}.id {id}: an id is a whole number from -2147483648 to 2147483647, so its rows are left out; "
            f"give it another id: UPDATE {SOURCE} SET id = {free + position} WHERE id = {id}"
        )


def _disabled(connection: Connection, scopes: Sequence[Scope]) -> list[str]:
    """The timeframes and periods that some table has rows of and that are switched off."""
    enabled = dimensions.read_dimensions(connection)
    legs = [leg for scope in scopes for leg in scope.builder.legs if leg.family]
    tfs = unsettled.built_timeframes(connection, legs) - {timeframe.tf for timeframe in enabled.timeframes}
    periods = unsettled.built_periods(connection, legs) - set(enabled.periods)
    return [*sorted(tfs), *(f"period {period}" for period in sorted(periods))]
