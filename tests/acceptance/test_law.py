"""The law: whatever happens to the source and to the refresh, the tables end up as if built today.

Hypothesis makes histories: prices that arrive late, are revised, deleted, doubled, folded or bad; refreshes that are
filtered, repeated, killed, or beside each other. After every refresh without filters, every table must equal, bit for
bit, that of a database that is rebuilt from the same source. ``REFRESH_LAW_EXAMPLES`` sets the number of histories.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, nullcontext, suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import pytest
from databases import create_tables, database
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from overlapping import PATIENCE, held
from refreshing import TARGETS, digests, refresh, rows
from sqlalchemy import URL, Engine, TextClause, text
from sqlalchemy.exc import OperationalError
from statements import address, ask, end_other_sessions, execute
from trading import choose, remembered, trade

from refresh.builder.work import VALUES_AT_ONCE
from refresh.catalog import BUILDERS, SOURCE
from refresh.errors import UsageError
from refresh.options.request import Request
from refresh.store.database import connect
from refresh.store.tables import LEDGER, METADATA

EXAMPLES = int(os.environ.get("REFRESH_LAW_EXAMPLES", "300"))
HALVES = 2
A_LITTLE = 0.1
IDS = (1, 52)
FIRST = date(2019, 11, 20)
TIMEFRAMES = (
    "2D", "3D", "7D", "1W_CAL_US", "2W_CAL_ISO", "1M_CAL", "1W_CAL_ANCHOR_US", "2W_CAL_ANCHOR_ISO", "1M_CAL_ANCHOR",
    "3M_CAL_ANCHOR", "1Y_CAL",
)  # fmt: skip
LATER_TIMEFRAMES = ("4D", "1W_CAL_ISO", "2M_CAL", "1Y_CAL_ANCHOR")
PERIODS = (2, 3, 5)
LATER_PERIODS = (4, 10)
CALENDARS = ("auto", "auto", "24/7", "Mon-Fri", "Sun-Thu", "XNYS")
COLUMNS = ("open", "high", "low", "close", "volume", "marketcap", "timeopen", "timehigh", "timelow", "name", "load_ts")

INPUTS = {
    **{
        table: f"SELECT CAST(t AS text) FROM {table} t"
        for table in (SOURCE, "dim_timeframe", "dim_period", "dim_asset")
    },
    "refresh_settings": "SELECT CAST(t AS text) FROM refresh_settings t WHERE name = 'fold'",
}
"""Queries for the rows of all that tables are built from."""
ENABLE = text("""UPDATE dim_timeframe SET is_enabled = tf = ANY(:timeframes);
    UPDATE dim_period SET is_enabled = period = ANY(:periods)""")
FORGET_FOLDS = text("DELETE FROM refresh_settings WHERE name = 'fold'")
REMEMBER_FOLDS = text("""INSERT INTO refresh_settings VALUES ('fold', :value)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value""")
DOUBLED = 2
"""Days of an asset that may have two rows without the asset being finer than a day."""

again = partial(refresh, is_prepared=True)
"""A refresh of tables that were verified when they were created; those that overlap or are killed verify them too."""

prices = st.floats(0.5, 1000, allow_nan=False)
bad = st.sampled_from([None, float("nan"), float("inf"), 0.0, -1.0])
mostly_good = st.one_of(*[prices] * 12, bad)
days = st.integers(0, 150)
ids = st.sampled_from(IDS)
at_once = st.sampled_from([VALUES_AT_ONCE, 20_000, 1_000])
"""Values computed at once: all of them, or the series of an asset in two or three batches, or in dozens."""


@st.composite
def raw_rows(draw: st.DrawFn) -> dict[str, Any]:
    """The columns of a source row beside its asset and day."""
    return {
        "hour": draw(st.sampled_from([23, 23, 23, 23, 11])),
        "open": draw(mostly_good),
        "high": draw(mostly_good),
        "low": draw(mostly_good),
        "close": draw(mostly_good),
        "volume": draw(st.one_of(st.floats(0, 1e9), st.sampled_from([None, 0.0, -0.0, -1.0]))),
        "marketcap": draw(st.one_of(st.none(), st.floats(0, 1e12))),
        "timeopen": draw(st.sampled_from([0, 0, 0, 0, None, 30])),
        "timehigh": draw(st.sampled_from([5, 12, None, 40])),
        "timelow": draw(st.sampled_from([5, 12, None, 40])),
        "name": draw(st.sampled_from([None, "", "Bitcoin", "Ξ"])),
        "load_ts": draw(st.sampled_from([None, 1, 2])),
    }


def source_row(asset: int, day: int, raw: dict[str, Any]) -> dict[str, Any]:
    """The source row of a day. Hours of the day become times."""
    midnight = datetime.combine(FIRST, datetime.min.time(), UTC) + timedelta(days=day)
    times = {name: raw[name] for name in ("timeopen", "timehigh", "timelow")}
    clocked = {name: None if hour is None else midnight + timedelta(hours=hour) for name, hour in times.items()}
    close = midnight + timedelta(hours=raw["hour"], minutes=59)
    loaded = raw["load_ts"] and midnight + timedelta(days=raw["load_ts"])
    return {**raw, **clocked, "id": asset, "timestamp": close, "timeclose": close, "load_ts": loaded}


class Pair:
    """Two databases: one is refreshed as prices arrive, the other is emptied and rebuilt to compare."""

    def __init__(self, refreshed: Engine, rebuilt: Engine) -> None:
        self.refreshed = refreshed
        self.rebuilt = rebuilt
        self._inputs: dict[str, list[str]] = {}

    def clear(self) -> None:
        """Empty both databases, except for the timeframes and periods that every history begins with."""
        for engine in (self.refreshed, self.rebuilt):
            with engine.begin() as connection:
                _empty(connection)
                connection.execute(text("DELETE FROM dim_period WHERE period = ANY(:p)"), {"p": list(LATER_PERIODS)})
                connection.execute(FORGET_FOLDS)
                connection.execute(ENABLE, {"timeframes": list(TIMEFRAMES), "periods": list(PERIODS)})
        self._inputs = {}

    def rebuild(self) -> None:
        """Build the second database from the first one's source and dimensions, unless it is what it was built from."""
        with self.refreshed.begin() as connection:
            inputs = {name: list(connection.execute(text(query)).scalars()) for name, query in INPUTS.items()}
        if inputs == self._inputs:
            return
        with self.rebuilt.begin() as copy:
            _empty(copy)
            copy.execute(FORGET_FOLDS)
            for table, copied in inputs.items():
                if table in ("dim_timeframe", "dim_period"):
                    copy.execute(text(f"DELETE FROM {table}"))
                rows_again = f"SELECT (CAST(r AS {table})).* FROM unnest(CAST(:rows AS text[])) AS r"
                copy.execute(text(f"INSERT INTO {table} {rows_again}"), {"rows": copied})
        outcomes = again(self.rebuilt)
        assert not [outcome for outcome in outcomes if outcome.error]
        self._inputs = inputs


def _insertion(table: str, columns: list[str], then: str = "") -> TextClause:
    """The statement that inserts rows of these columns."""
    names = ", ".join(f'"{column}"' for column in columns)
    values = ", ".join(f":{column}" for column in columns)
    return text(f"INSERT INTO {table} ({names}) VALUES ({values}) {then}")


def _empty(connection: Any) -> None:
    """Nothing in here is lost by mistake, and no row is left for later statements to step over."""
    kept = {"dim_timeframe", "dim_period", "refresh_settings"}
    tables = (*(name for name in METADATA.tables if name not in kept), SOURCE)
    connection.execute(text(f"SET LOCAL refresh.writing = 'on'; TRUNCATE {', '.join(tables)}"))


class History(RuleBasedStateMachine):
    """A history of one source, and of the refreshes that follow it."""

    pair: ClassVar[Pair]

    def __init__(self) -> None:
        super().__init__()
        self.written: dict[int, set[int]] = {asset: set() for asset in IDS}
        self.hours: dict[tuple[int, int], set[int]] = {}
        self.folded: set[int] = set()
        self.pair.clear()

    def write(self, asset: int, day: int, raw: dict[str, Any]) -> None:
        """Write a row of the source over the one with its id and timestamp."""
        raw = {**raw, "hour": self.hour(asset, day, raw["hour"])}
        columns = ["timeclose", *COLUMNS]
        updates = ", ".join(f"{column} = excluded.{column}" for column in columns)
        then = f'ON CONFLICT (id, "timestamp") DO UPDATE SET {updates}'
        with self.pair.refreshed.begin() as connection:
            statement = _insertion(SOURCE, ["id", "timestamp", *columns], then)
            connection.execute(statement, source_row(asset, day, raw))
        self.written[asset].add(day)

    def hour(self, asset: int, day: int, wanted: int) -> int:
        """The hour of a row: that of the row that its day has, if the asset would otherwise be finer than a day."""
        hours = self.hours.setdefault((asset, day), set())
        doubled = [key for key, known in self.hours.items() if key[0] == asset and len(known) > 1]
        if hours and asset not in self.folded and (asset, day) not in doubled and len(doubled) >= DOUBLED:
            return min(hours)
        hours.add(wanted)
        return wanted

    @rule(assets=st.sampled_from([(52,), IDS]))
    def fold(self, assets: tuple[int, ...]) -> None:
        """The rows of an asset, or of all, are folded into days from now on."""
        self.folded.update(assets)
        value = "all" if assets == IDS else ",".join(map(str, sorted(self.folded)))
        with self.pair.refreshed.begin() as connection:
            connection.execute(REMEMBER_FOLDS, {"value": value})

    @initialize(listed=st.lists(st.tuples(ids, days, raw_rows()), min_size=1, max_size=30))
    def begin(self, listed: list[tuple[int, int, dict[str, Any]]]) -> None:
        """A first history with gaps, late listings, bad and doubled rows."""
        for asset, day, raw in listed:
            self.write(asset, day, raw)

    @rule(
        asset=ids, first=st.integers(1, 12), number=st.integers(1, 8), raw=st.lists(raw_rows(), min_size=8, max_size=8)
    )
    def append(self, asset: int, first: int, number: int, raw: list[dict[str, Any]]) -> None:
        """Days arrive after the last one, perhaps with a gap."""
        last = max(self.written[asset], default=0)
        for later in range(number):
            self.write(asset, last + first + later, raw[later])

    @rule(asset=ids, day=days, raw=raw_rows())
    def arrive_anywhere(self, asset: int, day: int, raw: dict[str, Any]) -> None:
        """A day arrives late, before the first one, beside another of the same day, or over an old one."""
        self.write(asset, day, raw)

    @rule(asset=ids, raw=raw_rows(), choice=st.integers(0, 10_000))
    def revise(self, asset: int, raw: dict[str, Any], choice: int) -> None:
        """A day that was written before changes."""
        written = sorted(self.written[asset])
        if written:
            self.write(asset, written[choice % len(written)], raw)

    @rule(asset=ids, first=days, number=st.integers(1, 40))
    def delete(self, asset: int, first: int, number: int) -> None:
        """Days are deleted, perhaps all of them."""
        begin = FIRST + timedelta(days=first)
        days_deleted = f'DELETE FROM {SOURCE} WHERE id = :id AND "timestamp" >= :begin AND "timestamp" < :end'
        execute(self.pair.refreshed, days_deleted, id=asset, begin=begin, end=begin + timedelta(days=number))

    @rule(asset=ids, column=st.sampled_from(["name", "volume", "source_file"]), value=st.sampled_from(["1", "2"]))
    def touch(self, asset: int, column: str, value: str) -> None:
        """A column changes in all rows of an asset without changing a price."""
        kind = "float8" if column == "volume" else "text"
        update = f"UPDATE {SOURCE} SET {column} = CAST(:value AS {kind}) WHERE id = :id"
        execute(self.pair.refreshed, update, value=value, id=asset)

    @rule(tf=st.sampled_from((*TIMEFRAMES[:6], *LATER_TIMEFRAMES)))
    def toggle_timeframe(self, tf: str) -> None:
        """The user enables or disables a timeframe. Rows of a disabled one stay and are not compared."""
        execute(self.pair.refreshed, "UPDATE dim_timeframe SET is_enabled = NOT is_enabled WHERE tf = :tf", tf=tf)

    @rule(asset=ids, calendar=st.sampled_from(CALENDARS))
    def choose_calendar(self, asset: int, calendar: str) -> None:
        """The user gives an asset a calendar, or lets it learn one."""
        choose(self.pair.refreshed, asset, calendar)

    @rule(asset=ids, first=st.integers(-6, 80))
    def trade_on_weekdays(self, asset: int, first: int) -> None:
        """Nine weeks of prices on weekdays alone arrive, and most other days go."""
        begin, end = FIRST + timedelta(days=first), FIRST + timedelta(days=first + 62)
        trade(self.pair.refreshed, asset, str(begin), str(end))
        others = f"""DELETE FROM {SOURCE} WHERE id = :id AND extract(isodow FROM "timestamp") IN (6, 7)"""
        execute(self.pair.refreshed, others, id=asset)

    @rule(period=st.sampled_from(LATER_PERIODS))
    def add_period(self, period: int) -> None:
        """The user adds a period."""
        statement = "INSERT INTO dim_period VALUES (:p, true, 99) ON CONFLICT (period) DO UPDATE SET is_enabled = true"
        execute(self.pair.refreshed, statement, p=period)

    @rule(
        request=st.sampled_from(
            [
                Request(tfs=("1w",)),
                Request(tfs=("2D", "7d")),
                Request(periods=(3,)),
                Request(tf_period_combos=(("7d", 2), ("1m", 3))),
                Request(ids=(1,)),
            ]
        ),
        some=st.sets(st.sampled_from(BUILDERS), min_size=1),
    )
    def refresh_filtered(self, request: Request, some: set[Any]) -> None:
        """A refresh of some builders with filters."""
        chosen = [builder for builder in BUILDERS if builder in some]
        with suppress(UsageError):  # a filter that leaves nothing, or an asset that does not exist, is refused
            outcomes = again(self.pair.refreshed, request, chosen)
            assert not [outcome for outcome in outcomes if outcome.error]

    @rule(milliseconds=st.integers(0, 250), values=at_once)
    def kill_a_refresh(self, milliseconds: int, values: int) -> None:
        """A refreshing process is killed in the middle of its work."""
        child = os.fork()
        if not child:
            try:
                with connect(address(self.pair.refreshed)) as engine:
                    refresh(engine, values_at_once=values)
            finally:
                os._exit(0)
        time.sleep(milliseconds / 1000)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        self.wait_for_rollback()

    @rule(
        first=st.sets(st.sampled_from(BUILDERS), min_size=1),
        second=st.sets(st.sampled_from(BUILDERS), min_size=1),
        point=st.integers(0, 120),
        revisions=st.lists(st.tuples(ids, days, raw_rows()), max_size=3),
        calendars=st.lists(st.tuples(ids, st.sampled_from(CALENDARS)), max_size=1),
        values=at_once,
        ends_session=st.sampled_from([False, False, False, True]),
    )
    def overlap(
        self,
        first: set[Any],
        second: set[Any],
        point: int,
        revisions: list[tuple[int, int, dict[str, Any]]],
        calendars: list[tuple[int, str]],
        values: int,
        *,
        ends_session: bool,
    ) -> None:
        """One refresh is held anywhere in its work while the source changes and another one does all it can.

        Either may be of one builder, of several or of all. The session of the one that is held may end. The ledger gets
        at most one line for what had changed before, and one for what changes meanwhile.
        """
        url = address(self.pair.refreshed)
        accepting = Request(accept_restatement=True)
        known = self.lines()
        early, late = ([builder for builder in BUILDERS if builder in some] for some in (first, second))
        with (
            held(url, point, *early, request=accepting, values_at_once=values) as working,
            ThreadPoolExecutor() as pool,
        ):
            for asset, day, raw in revisions:
                self.write(asset, day, raw)
            for asset, calendar in calendars:
                choose(self.pair.refreshed, asset, calendar)
            if ends_session:
                end_other_sessions(self.pair.refreshed)
            beside = pool.submit(refresh, self.pair.refreshed, accepting, late)
            wait({beside}, timeout=A_LITTLE)
            with suppress(OperationalError) if ends_session else nullcontext():  # before its work, it fails as a whole
                assert not [outcome for outcome in working.outcomes if outcome.error]
            assert not [outcome for outcome in beside.result(PATIENCE) if outcome.error]
        added = self.lines() - known
        assert added <= Counter(IDS) + Counter({asset for asset, _, _ in revisions})

    def lines(self) -> Counter[int]:
        """The number of lines in the ledger, by asset."""
        return Counter(dict(ask(self.pair.refreshed, f"SELECT id, count(*) FROM {LEDGER} GROUP BY id")))

    def wait_for_rollback(self) -> None:
        """Wait until the server has noticed that its client is gone."""
        others = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        while True:
            with self.pair.refreshed.connect() as connection:
                if not connection.execute(others).scalar_one():
                    return
            time.sleep(0.005)

    @rule(twice=st.booleans(), values=at_once)
    def refresh_and_compare(self, twice: bool, values: int) -> None:
        """A refresh without filters leaves what a rebuild leaves. A second one finds nothing to do."""
        request = Request(accept_restatement=True, prune=True)
        outcomes = again(self.pair.refreshed, request, values_at_once=values)
        assert not [outcome for outcome in outcomes if outcome.error]
        if twice:
            assert again(self.pair.refreshed, Request(prune=True)) == []
        self.pair.rebuild()
        self.compare()

    def compare(self) -> None:
        """Every row of every enabled series is the same on both sides, and so is every calendar in effect."""
        assert remembered(self.pair.refreshed) == remembered(self.pair.rebuilt)
        with self.pair.refreshed.begin() as connection:
            disabled = list(connection.execute(text("SELECT tf FROM dim_timeframe WHERE NOT is_enabled")).scalars())
        refreshed, rebuilt = (digests(engine, without=disabled) for engine in (self.pair.refreshed, self.pair.rebuilt))
        for table in TARGETS:
            if refreshed[table] != rebuilt[table]:
                left = set(rows(self.pair.refreshed, table, without=disabled))
                right = set(rows(self.pair.rebuilt, table, without=disabled))
                pytest.fail(
                    f"{table}: only refreshed {sorted(left - right)[:3]}, only rebuilt {sorted(right - left)[:3]}"
                )

    def teardown(self) -> None:
        """A last refresh must bring the tables to what a rebuild leaves, whatever came before."""
        self.refresh_and_compare(twice=True, values=VALUES_AT_ONCE)


@pytest.fixture
def pair(server: URL) -> Iterator[Pair]:
    """Two databases with all tables, reused by every history."""
    with ExitStack() as stack:
        urls = [stack.enter_context(database(server, "template1")) for _ in range(2)]
        engines = [stack.enter_context(connect(url)) for url in urls]
        for engine in engines:
            with engine.begin() as connection:
                create_tables(connection)
        yield Pair(*engines)


@pytest.mark.parametrize("half", range(HALVES))
def test_any_history_ends_as_if_built_today(pair: Pair, half: int) -> None:
    """No history of the source and of refreshes leaves tables that differ from a rebuild."""
    machine = type(f"History{half}", (History,), {"pair": pair})
    search = settings(
        max_examples=max(EXAMPLES // HALVES, 1),
        stateful_step_count=10,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    )
    run_state_machine_as_test(machine, settings=search)
