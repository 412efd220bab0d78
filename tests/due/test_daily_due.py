"""What is due on the daily bars when rows of the source change, and what is refused until it is accepted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from prices import fill
from refreshing import NOW, open_scopes, refresh, rows
from sqlalchemy import Engine
from statements import ask, execute

from refresh.catalog import DAILY, SOURCE, by_key
from refresh.due import survey
from refresh.due.decision import Action, Due
from refresh.due.decisions import Decisions
from refresh.due.revision import FUSE_ASSETS
from refresh.options.request import Request
from refresh.store.database import transaction

BUILDER = by_key("bars.1d")
CHANGES = {
    "day after the last": ("INSERT", "2024-04-11", "2024-04-01"),
    "day of a new month": ("INSERT", "2024-05-02", "2024-05-01"),
    "day in a gap": ("INSERT", "2024-02-20", "2024-02-01"),
    "day before the first": ("INSERT", "2023-12-31", "2023-12-01"),
    "close": (f"UPDATE {SOURCE} SET close = close + 0.5", "2024-01-31", "2024-01-01"),
    "first day of a month": (f"UPDATE {SOURCE} SET high = 21", "2024-03-01", "2024-03-01"),
    "name only": (f"UPDATE {SOURCE} SET name = 'Renamed'", "2024-02-10", "2024-02-01"),
    "load time only": (f"UPDATE {SOURCE} SET load_ts = now()", "2024-02-10", "2024-02-01"),
    "NULL becomes NaN": (f"UPDATE {SOURCE} SET marketcap = 'NaN'", "2024-02-10", "2024-02-01"),
    "deleted": (f"DELETE FROM {SOURCE}", "2024-02-10", "2024-02-01"),
    "last one deleted": (f"DELETE FROM {SOURCE}", "2024-04-10", "2024-04-01"),
    "time of day": (f"""UPDATE {SOURCE} SET "timestamp" = "timestamp" - interval '1 h'""", "2024-03-10", "2024-03-01"),
}


@pytest.fixture
def known(engine: Engine) -> Engine:
    """Assets 1 and 2 with every day from January to 10 April but the 20th of February, taken in."""
    for asset in (1, 2):
        fill(engine, asset, "2024-01-01", "2024-02-19")
        fill(engine, asset, "2024-02-21", "2024-04-10")
    refresh(engine, builders=[BUILDER])
    return engine


def due(engine: Engine, request: Request | None = None, *, now: datetime = NOW) -> list[Due]:
    """What is due on the daily bars."""
    (scope,) = open_scopes(engine, request, [BUILDER], now=now)
    with transaction(engine) as connection:
        return survey.due(connection, scope, BUILDER.legs[0])


def since(engine: Engine, request: Request | None = None, *, now: datetime = NOW) -> list[tuple[int, str | None]]:
    """The assets that are due, and from when on in UTC."""
    starts: list[tuple[int, str | None]] = []
    for work in due(engine, request, now=now):
        start = None if work.since is None else f"{work.since:%Y-%m-%dT%H:%M}"
        starts.append((work.id, start))
    return starts


def assert_as_rebuilt(engine: Engine, tz: str = "UTC") -> None:
    """The daily bars are those of a rebuild."""
    built = rows(engine, DAILY)
    refresh(engine, Request(full_rebuild=True, tz=tz), [BUILDER])
    assert rows(engine, DAILY) == built


# What changed


def test_first_time(engine: Engine) -> None:
    """An asset that was never taken in is built from its first day."""
    fill(engine, 1, "2024-01-01", "2024-01-31")
    (work,) = due(engine)
    assert (work.id, work.action, work.since, work.days) == (1, Action.REBUILD, None, 31)


def test_nothing_changed(known: Engine) -> None:
    """Rows that were taken in and are the same, in whatever order they are stored, are not due."""
    execute(
        known, f"UPDATE {SOURCE} SET close = close", f"CREATE TABLE moved AS SELECT * FROM {SOURCE} ORDER BY random()"
    )
    execute(known, f"TRUNCATE {SOURCE}", f"INSERT INTO {SOURCE} SELECT * FROM moved")
    assert due(known) == []


@pytest.mark.parametrize(("statement", "day", "month"), CHANGES.values(), ids=CHANGES)
def test_change_is_due(known: Engine, statement: str, day: str, month: str) -> None:
    """Only the changed asset is due, from the first day of the changed month; afterwards it is not."""
    if statement == "INSERT":
        fill(known, 2, day, day)
    else:
        execute(known, f"""{statement} WHERE id = 2 AND ("timestamp" AT TIME ZONE 'UTC')::date = '{day}'""")
    assert since(known) == [(2, f"{month}T00:00")]
    refresh(known, builders=[BUILDER])
    assert due(known) == []
    assert_as_rebuilt(known)


def test_two_changes(known: Engine) -> None:
    """Of several months that changed the first one counts."""
    fill(known, 1, "2024-04-11", "2024-04-12")
    execute(known, f"""DELETE FROM {SOURCE} WHERE id = 1 AND "timestamp" BETWEEN '2024-02-05Z' AND '2024-02-06Z'""")
    assert since(known) == [(1, "2024-02-01T00:00")]


def test_exchanged_values(known: Engine) -> None:
    """Two days of a month that exchange their closes are a change, although the same values are there."""
    execute(
        known,
        f"""UPDATE {SOURCE} a SET close = b.close FROM {SOURCE} b WHERE a.id = 1 AND b.id = 1
            AND extract(day FROM a.timeclose) + extract(day FROM b.timeclose) = 9
            AND a.timeclose < '2024-01-09Z' AND b.timeclose < '2024-01-09Z'""",
    )
    assert since(known) == [(1, "2024-01-01T00:00")]


def test_only_selected_assets_are_due(known: Engine) -> None:
    """Changes of assets that were not selected wait."""
    execute(known, f"UPDATE {SOURCE} SET close = 11 WHERE timeclose < '2024-01-02Z'")
    assert since(known, Request(ids=(2,))) == [(2, "2024-01-01T00:00")]


def test_lookback(known: Engine) -> None:
    """With a lookback, only months that reach into the last days are compared."""
    now = datetime(2024, 4, 12, tzinfo=UTC)
    execute(known, f"UPDATE {SOURCE} SET close = 11 WHERE id = 1 AND timeclose < '2024-03-02Z'")
    execute(known, f"UPDATE {SOURCE} SET close = 11 WHERE id = 2 AND timeclose < '2024-01-02Z'")
    request = Request(detect="lookback", lookback_days=30)
    assert since(known, request, now=now) == [(1, "2024-03-01T00:00")]
    assert since(known, now=now) == [(1, "2024-01-01T00:00"), (2, "2024-01-01T00:00")]


def test_removed_asset_is_not_due(known: Engine) -> None:
    """The bars of an asset that is gone from the source stay, even if everything is rebuilt."""
    execute(known, f"DELETE FROM {SOURCE} WHERE id = 2")
    assert due(known) == []
    assert_as_rebuilt(known)
    assert ask(known, f"SELECT DISTINCT id FROM {DAILY} ORDER BY 1") == [(1,), (2,)]


def test_pruned_asset(known: Engine) -> None:
    """An asset that is gone from the source is removed if that is requested, and if it is selected."""
    execute(known, f"DELETE FROM {SOURCE} WHERE id = 2")
    (work,) = due(known, Request(prune=True))
    assert (work.id, work.action, work.days) == (2, Action.PRUNE, 100)
    assert due(known, Request(prune=True, ids=(1,))) == []


def test_removed_asset_with_a_future_row(engine: Engine) -> None:
    """A rejected row that would be accepted by now is no reason to touch an asset that is gone from the source."""
    now = datetime(2024, 1, 10, tzinfo=UTC)
    fill(engine, 1, "2024-01-01", "2024-01-09")
    fill(engine, 1, "2024-01-15", "2024-01-15")
    refresh(engine, builders=[BUILDER], now=now)
    execute(engine, f"DELETE FROM {SOURCE} WHERE id = 1")
    assert since(engine, now=now + timedelta(days=30)) == []
    refresh(engine, builders=[BUILDER], now=now + timedelta(days=30))
    assert ask(engine, f"SELECT count(*) FROM {DAILY}") == [(9,)]


def test_future_rows_mature(engine: Engine) -> None:
    """A row more than two days ahead of the clock is rejected, and taken in as soon as it no longer is."""
    now = datetime(2024, 1, 10, tzinfo=UTC)
    later = now + timedelta(hours=24)
    fill(engine, 1, "2024-01-09", "2024-01-12")
    refresh(engine, builders=[BUILDER], now=now)
    assert ask(engine, f"SELECT count(*) FROM {DAILY}") == [(3,)]
    assert ask(engine, f"SELECT reason, count(*) FROM {DAILY}_rejects GROUP BY 1") == [("future_timestamp", 1)]
    assert since(engine, now=now + timedelta(hours=20)) == []
    assert since(engine, now=later) == [(1, "2024-01-01T00:00")]
    refresh(engine, builders=[BUILDER], now=later)
    assert ask(engine, f"SELECT count(*) FROM {DAILY}") == [(4,)]
    assert ask(engine, f"SELECT FROM {DAILY}_rejects") == []
    assert since(engine, now=later) == []


@pytest.mark.parametrize(
    ("zone", "hour", "first"),
    [
        ("Asia/Tokyo", "2024-01-31 14:59Z", "2023-12-31T15:00"),
        ("Asia/Tokyo", "2024-01-31 15:00Z", "2024-01-31T15:00"),
        ("America/New_York", "2024-04-01 03:59Z", "2024-03-01T05:00"),
        ("America/New_York", "2024-04-01 04:00Z", "2024-04-01T04:00"),
    ],
)
def test_months_of_another_time_zone(engine: Engine, zone: str, hour: str, first: str) -> None:
    """Months begin at local midnight, in summer time and out of it."""
    execute(engine, "UPDATE refresh_settings SET value = :zone WHERE name = 'tz'", zone=zone)
    fill(engine, 1, "2023-11-01", "2024-06-30")
    request = Request(tz=zone)
    refresh(engine, request, [BUILDER])
    execute(
        engine,
        f"""INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, open, high, low, close, volume)
            VALUES (1, :hour, '2024-01-01Z', '2024-01-02Z', 10, 20, 5, 10, 1000)""",
        hour=hour,
    )
    assert since(engine, request) == [(1, first)]
    refresh(engine, request, [BUILDER])
    assert since(engine, request) == []
    assert_as_rebuilt(engine, zone)


# What it means


def examined(engine: Engine, request: Request | None = None) -> list[Due]:
    """What is due on the daily bars, day by day."""
    (scope,) = open_scopes(engine, request, [BUILDER])
    decisions = Decisions(scope)
    with transaction(engine) as connection:
        dues = decisions.due(connection, BUILDER.legs[0], scope.selection.ids)
        return decisions.daily.examined(connection, dues)


def test_examined(known: Engine) -> None:
    """A plan says what a change means day by day: an append, a revision, or a refused scaling of the whole history."""
    fill(known, 1, "2024-04-11", "2024-04-12")
    execute(
        known, f"UPDATE {SOURCE} SET open = 2 * open, high = 2 * high, low = 2 * low, close = 2 * close WHERE id = 2"
    )
    fill(known, 3, "2024-01-01", "2024-01-05")
    appended, scaled, new = examined(known)
    assert (appended.action, appended.reason, appended.refusal) == (Action.APPEND, "2 days appended", None)
    assert scaled.action is Action.REVISE
    assert scaled.reason.startswith(
        "restatement refused: its whole history is multiplied by 2 (looks like a 1:2 split: close of"
    )
    assert (new.action, new.reason) == (Action.REBUILD, "build 5 days: not built yet")


@pytest.fixture
def many(engine: Engine) -> Engine:
    """As many assets as a mass restatement needs, and as many besides, with forty days that were taken in."""
    for asset in range(1, 2 * FUSE_ASSETS + 1):
        fill(engine, asset, "2024-01-01", "2024-02-09")
    refresh(engine, builders=[BUILDER])
    return engine


def refusals(engine: Engine, request: Request | None = None) -> list[str | None]:
    """Why the work of each asset that is due is refused."""
    return [work.refusal for work in examined(engine, request)]


def revise(engine: Engine, assets: int) -> None:
    """Change an old close of the first assets."""
    execute(
        engine,
        f"UPDATE {SOURCE} SET close = 11 WHERE id <= :assets AND timeclose < '2024-01-02Z'",
        assets=assets,
    )


def test_mass_restatement_is_refused(many: Engine) -> None:
    """If too many assets are restated at once, the work of these is refused, and appends are not."""
    revise(many, FUSE_ASSETS)
    fill(many, FUSE_ASSETS + 1, "2024-02-10", "2024-02-10")
    *restated, appended = refusals(many)
    expected = (
        f"restatement refused: {FUSE_ASSETS} of {2 * FUSE_ASSETS} assets are restated at once (--restate-limit 20 %), "
        "this one: close of 2024-01-01 changed from 10.01 to 11.0"
    )
    assert len(restated) == FUSE_ASSETS
    for refusal in restated:
        assert refusal is not None
        assert refusal.startswith(expected)
    assert appended is None


@pytest.mark.parametrize(
    "accepting", [Request(accept_restatement=True), Request(restate_limit=50)], ids=["accepted", "below the limit"]
)
def test_mass_restatement_that_is_accepted(many: Engine, accepting: Request) -> None:
    """An accepted restatement is not refused, nor is one within the limit."""
    revise(many, FUSE_ASSETS)
    assert refusals(many, accepting) == [None] * FUSE_ASSETS


def test_few_restatements_and_many_appends(many: Engine) -> None:
    """Fewer restated assets than a mass restatement needs are taken in, however many others get new days."""
    revise(many, FUSE_ASSETS - 1)
    for asset in range(1, 2 * FUSE_ASSETS + 1):
        fill(many, asset, "2024-02-10", "2024-02-10")
    assert refusals(many, Request(restate_limit=0)) == [None] * (2 * FUSE_ASSETS)
