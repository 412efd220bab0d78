"""A calendar changes: bars are examined again, and after every night all tables are as if built that night."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from programs import run
from refreshing import digests, enable, moved, open_scopes, refresh
from sqlalchemy import URL, Engine
from statements import address, ask, execute
from trading import EVERY_DAY, choose, differences, lose, prepare, remembered, trade

from refresh.builder import daily
from refresh.catalog import DAILY, by_key
from refresh.due import survey
from refresh.options.request import Request
from refresh.records import Outcome
from refresh.store.schema import looking

Event = Callable[[Engine], None]

LEARNED = "Mon-Fri (learned)"
XNYS = "XNYS 42e86c0a"
NIGHTS: list[tuple[list[Event], str | None, str]] = [
    ([partial(trade, id=1, first="2024-01-01", last="2024-02-23")], None, ""),
    (
        [partial(trade, id=1, first="2024-02-24", last="2024-02-26")],
        LEARNED,
        f"calendar changed from 24/7 to {LEARNED}",
    ),
    ([partial(trade, id=1, first="2024-02-27", last="2024-03-01")], LEARNED, ""),
    (
        [partial(trade, id=1, first="2024-01-20", last="2024-01-20", weekdays=EVERY_DAY)],
        "Mon-Sat (learned)",
        f"1 day added in between, calendar changed from {LEARNED} to Mon-Sat (learned)",
    ),
    (
        [partial(lose, id=1, first="2024-01-20"), partial(trade, id=1, first="2024-03-02", last="2024-03-05")],
        LEARNED,
        f"1 day deleted, 2 days appended, calendar changed from Mon-Sat (learned) to {LEARNED}",
    ),
    ([partial(choose, id=1, calendar="XNYS")], XNYS, f"calendar changed from {LEARNED} to XNYS"),
    ([partial(trade, id=1, first="2024-03-06", last="2024-04-05", weekdays=EVERY_DAY)], XNYS, ""),
    (
        [partial(choose, id=1, calendar="sun-thu"), partial(lose, id=1, first="2024-03-11", last="2024-03-19")],
        "Sun-Thu",
        "calendar changed from XNYS to Sun-Thu",
    ),
    ([partial(choose, id=1, calendar="auto")], None, "calendar changed from Sun-Thu to 24/7"),
    ([partial(lose, id=1, first="2024-02-20", last="2024-04-30")], None, ""),
    (
        [partial(trade, id=1, first="2023-12-22", last="2023-12-22")],
        LEARNED,
        f"calendar changed from 24/7 to {LEARNED}",
    ),
]
"""What happens before each night, the calendar that is then in effect, and how it changed."""


def reasons(outcomes: list[Outcome], builder: str = "bars.1d") -> dict[int, str]:
    """Why each asset was worked on by a builder."""
    return {outcome.id: outcome.reason for outcome in outcomes if outcome.builder == builder}


def planned(engine: Engine) -> dict[int, str]:
    """Why the next run would work on the daily bars of each asset."""
    scopes = open_scopes(engine)
    with looking(engine) as connection:
        return {due.id: due.reason for due in survey.survey(connection, scopes).dues["bars.1d"]}


def test_nights(engine: Engine, server: URL, template: str) -> None:
    """Eight weeks pass, a Saturday comes late and goes, the user changes his mind: each night equals a rebuild."""
    prepare(engine)
    trade(engine, 2, "2024-01-01", "2024-03-10", EVERY_DAY)
    enable(engine, ("3D", "1W_CAL_ISO", "1W_CAL_ANCHOR_US"))
    for events, calendar, change in NIGHTS:
        for happen in events:
            happen(engine)
        before = planned(engine)
        outcomes = refresh(engine, Request(accept_restatement=True))
        assert not [outcome.error for outcome in outcomes if outcome.error]
        assert remembered(engine) == {1: calendar, 2: None}
        assert change in reasons(outcomes)[1]
        assert ("calendar" in reasons(outcomes)[1]) == bool(change)
        assert before == reasons(outcomes)
        assert differences(server, template, engine) == {}
        assert refresh(engine) == []


def test_edited_calendars_are_no_restatement(engine: Engine) -> None:
    """A dozen calendars that change at once are taken in: no price changed. The ledger has no line of it."""
    prepare(engine)
    for id in range(1, 13):
        trade(engine, id, "2024-01-01", "2024-03-10")
    refresh(engine)
    for id in range(1, 13):
        choose(engine, id, "24/7")
    outcomes = refresh(engine)
    assert not [outcome.error for outcome in outcomes if outcome.error]
    assert set(reasons(outcomes).values()) == {f"calendar changed from {LEARNED} to 24/7"}
    assert ask(engine, "SELECT count(*) FROM refresh_restatements") == [(0,)]


def test_more_days_than_fit_into_memory(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Saturday that comes for many assets at once has them examined in smaller batches."""
    monkeypatch.setattr(daily, "ROWS_AT_ONCE", 120)
    prepare(engine)
    for id in range(1, 6):
        trade(engine, id, "2024-01-01", "2024-03-10")
    refresh(engine)
    for id in range(1, 6):
        trade(engine, id, "2024-03-16", "2024-03-16", EVERY_DAY)
    outcomes = refresh(engine, builders=[by_key("bars.1d")])
    assert set(reasons(outcomes).values()) == {f"1 day appended, calendar changed from {LEARNED} to Mon-Sat (learned)"}
    assert len(outcomes) == 5


def test_calendars_that_mean_the_same(engine: Engine) -> None:
    """A calendar that is now chosen and was learned before rewrites no row."""
    prepare(engine)
    trade(engine, 1, "2024-01-01", "2024-03-10")
    refresh(engine)
    choose(engine, 1, "fri-fri, mon-thu")
    outcomes = refresh(engine)
    assert sum(outcome.rows for outcome in outcomes) == 0
    assert remembered(engine) == {1: "Mon-Fri"}
    assert refresh(engine) == []


def test_single_builder_waits_for_the_daily_bars(engine: Engine) -> None:
    """Until the daily bars have taken a calendar in, other builders go on with the one that was in effect."""
    prepare(engine)
    trade(engine, 1, "2024-01-01", "2024-03-08")
    weekly = by_key("bars.cal_iso")
    refresh(engine)
    choose(engine, 1, "24/7")
    assert refresh(engine, builders=[weekly]) == []
    refresh(engine, builders=[by_key("bars.1d")])
    assert reasons(refresh(engine, builders=[weekly]), "bars.cal_iso") == {1: "revise from the first day"}


@pytest.mark.parametrize("is_lost", [True, False])
def test_sessions_of_a_market_change(engine: Engine, server: URL, template: str, *, is_lost: bool) -> None:
    """Where a new release knows other holidays, or the sessions are lost, the asset is examined again."""
    prepare(engine)
    trade(engine, 1, "2024-01-01", "2024-03-10")
    choose(engine, 1, "XNYS")
    refresh(engine)
    if is_lost:
        execute(engine, "DELETE FROM refresh_calendars")
    else:
        execute(
            engine,
            """UPDATE refresh_calendars SET calendar = 'XNYS 00000000', release = '1.0',
               closed = array_remove(closed, CAST('2024-01-15' AS date) - CAST('1970-01-01' AS date))""",
            "UPDATE cmc_price_bars_1d_state SET calendar = 'XNYS 00000000'",
        )
    outcomes = refresh(engine)
    assert ("sessions of XNYS changed" in reasons(outcomes)[1]) != is_lost
    assert remembered(engine) == {1: "XNYS 42e86c0a"}
    assert differences(server, template, engine) == {}
    assert refresh(engine) == []


def test_tables_of_an_earlier_version(engine: Engine, server: URL, template: str) -> None:
    """A share of an earlier version learns its calendar in the first night; of a coin nothing is touched."""
    prepare(engine)
    trade(engine, 2, "2024-01-01", "2024-03-10", EVERY_DAY)
    refresh(engine)
    coin = ask(engine, f"SELECT xmin::text FROM {DAILY}")
    execute(engine, "DROP TABLE dim_asset, refresh_calendars", "ALTER TABLE cmc_price_bars_1d_state DROP calendar")
    looked = run("run_daily_refresh.py", "--all", "--dry-run", url=address(engine))
    assert looked.returncode == 0
    assert "id 2" not in looked.stdout
    before = moved(engine)
    assert refresh(engine) == []
    assert {table for table, counts in moved(engine).items() if before.get(table) not in {None, counts}} == set()
    trade(engine, 1, "2024-01-01", "2024-03-10")
    choose(engine, 1, "24/7")
    refresh(engine)
    execute(engine, "DROP TABLE dim_asset, refresh_calendars", "ALTER TABLE cmc_price_bars_1d_state DROP calendar")
    outcomes = refresh(engine)
    assert reasons(outcomes) == {1: f"calendar changed from 24/7 to {LEARNED}"}
    assert ask(engine, f"SELECT xmin::text FROM {DAILY} WHERE id = 2") == coin
    assert differences(server, template, engine) == {}


def test_removed_asset_keeps_its_row(engine: Engine) -> None:
    """An asset that is gone keeps its bars, whatever calendar it is given; pruned, it keeps what the user wrote."""
    prepare(engine)
    trade(engine, 1, "2024-01-01", "2024-03-10")
    trade(engine, 2, "2024-01-01", "2024-03-10")
    refresh(engine)
    before = digests(engine)
    lose(engine, 1, "2024-01-01", "2024-12-31")
    choose(engine, 1, "24/7")
    assert refresh(engine) == []
    assert digests(engine) == before
    refresh(engine, Request(prune=True))
    assert remembered(engine) == {2: LEARNED}
    assert ask(engine, "SELECT id, calendar FROM dim_asset") == [(1, "24/7")]


def test_days_of_a_time_zone(engine: Engine) -> None:
    """Weekdays are those of the run's time zone: midnight of Monday in Tokyo is Sunday in UTC."""
    execute(engine, "UPDATE refresh_settings SET value = 'Asia/Tokyo' WHERE name = 'tz'")
    prepare(engine)
    trade(engine, 1, "2024-01-01", "2024-03-08")  # at 21:00 in UTC, so the next morning
    for request in (Request(tz="Asia/Tokyo"), Request(tz="Asia/Tokyo", full_rebuild=True)):
        refresh(engine, request)
        assert remembered(engine) == {1: "Tue-Sat (learned)"}
        assert ask(engine, f"SELECT sum(count_missing_days)::int FROM {DAILY}") == [(0,)]
    trade(engine, 1, "2024-03-09", "2024-03-12")
    assert reasons(refresh(engine, Request(tz="Asia/Tokyo"))) == {1: "2 days appended"}


# As a user sees it


def test_programs_name_the_calendar(engine: Engine) -> None:
    """Plan, explanation and symbols on the command line; validation does not judge what waits."""
    prepare(engine)
    trade(engine, 1, "2024-01-01", "2024-03-08")
    choose(engine, 1, "auto", symbol="ABC")
    trade(engine, 2, "2024-01-01", "2024-03-08", EVERY_DAY)
    url = address(engine)
    assert run("run_daily_refresh.py", "--all", "--ids", "abc,2", url=url).returncode == 0
    choose(engine, 1, "24/7")
    change = f"calendar changed from {LEARNED} to 24/7"
    assert f"{change}: id 1" in run("run_daily_refresh.py", "--bars", "--ids", "ABC", "--dry-run", url=url).stdout
    explained = run("run_daily_refresh.py", "--explain", "1", url=url).stdout
    assert f"; calendar {LEARNED}" in explained
    assert "calendar changed" in explained
    judged = run("run_daily_refresh.py", "--validate", "--ids", "1", url=url)
    assert "wait to be refreshed" in judged.stdout
    assert run("-m refresh.builder bars.1d", "--ids", "Abc", url=url).returncode == 0
    assert remembered(engine) == {1: None, 2: None}
    unknown = run("run_all_bar_builders.py", "--ids", "ABD", url=url)
    assert (unknown.returncode, unknown.stderr) == (
        2,
        "error: --ids 'ABD': no such symbol in dim_asset; nearest: ABC\n",
    )


def test_calendar_of_an_asset_without_bars(engine: Engine) -> None:
    """An asset whose rows are all refused has no calendar in effect, until it has bars."""
    enable(engine, ["3D"], [10])
    trade(engine, 1, "2024-01-01", "2024-01-05")
    execute(engine, "UPDATE cmc_price_histories7 SET close = -1")
    choose(engine, 1, "Sun-Thu")
    refresh(engine)
    assert remembered(engine) == {1: None}
    choose(engine, 1, "XNYS")
    assert refresh(engine) == []
    execute(engine, "UPDATE cmc_price_histories7 SET close = 11")
    refresh(engine, Request(accept_restatement=True))
    assert remembered(engine) == {1: XNYS}
