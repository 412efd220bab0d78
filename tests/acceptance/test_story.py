"""One run, told by every face: the same story with the same numbers. And one failure, told from night to night."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bot_api import Bot, serving
from programs import run
from refreshing import refresh
from sqlalchemy import Engine
from statements import ask, execute

from refresh.catalog import BUILDERS, DAILY, SOURCE
from refresh.store.database import connect
from refresh.store.tables import LEDGER, OUTCOMES, RUNS

HEALTHY, BROKEN, RESTATED, STALE, REFUSED = 1, 52, 825, 1027, 1839
BROKEN_TABLE = "cmc_price_bars_multi_tf"
FAILURE = f'new row for relation "{BROKEN_TABLE}" violates check constraint "not_today"'
FEW = ["2D", "1W_CAL_US", "1W_CAL_ISO", "1M_CAL", "1W_CAL_ANCHOR_US", "1W_CAL_ANCHOR_ISO", "1M_CAL_ANCHOR"]
TITLES = {one.title: one.key for one in BUILDERS}
NUMBER = r"[\d,]+"
FILL = f"""
    INSERT INTO {SOURCE} (id, name, timeopen, timeclose, open, high, low, close, volume, "timestamp")
    SELECT a, 'asset ' || a, d, d + interval '1 day - 1 ms', 100 + sin(n + a), 102 + sin(n + a), 98 + sin(n + a),
           100 + cos(n * 3 + a), 1e6, d + interval '1 day - 1 ms'
    FROM unnest(CAST(:assets AS int[])) a, generate_series(CAST(:first AS date), CAST(:last AS date), '1 day') AS day,
         LATERAL (SELECT day AT TIME ZONE 'UTC' AS d, day::date - date '2024-01-01' AS n) AS place
"""


@pytest.fixture
def bot() -> Iterator[Bot]:
    """A server that answers as Telegram does."""
    with serving() as made:
        yield made


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """A database with all tables and few series."""
    made = connect(prepared_url)
    execute(made, "UPDATE dim_timeframe SET is_enabled = tf = ANY(:few)", few=FEW)
    execute(made, "UPDATE dim_period SET is_enabled = period IN (10, 20)")
    yield made
    made.dispose()


def fill(engine: Engine, assets: list[int], first: date, last: date) -> None:
    """Give assets a price a day."""
    execute(engine, FILL, assets=assets, first=first, last=last)


def yesterday() -> date:
    """The last day that is over, as the programs see it."""
    return datetime.now(UTC).date() - timedelta(days=1)


@dataclass(frozen=True)
class Told:
    """The one run, as each face tells it."""

    exit_code: int
    console: list[str]
    errors: list[str]
    log: list[dict[str, str]]
    document: dict[str, Any]
    outcomes: list[dict[str, Any]]
    message: list[str]
    page: dict[str, Any]
    bot: Bot
    engine: Engine
    changed: str
    silent_since: str

    def events(self, name: str) -> list[dict[str, str]]:
        """The lines of the log about one thing."""
        return [line for line in self.log if line["event"] == name]


def data_of(page: Path) -> dict[str, Any]:
    """What a page holds for its script to show."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


@pytest.fixture
def told(engine: Engine, bot: Bot, tmp_path: Path) -> Told:
    """A run in which an asset fails, one is restated, one is silent, one is refused a row, and one is well."""
    last = yesterday()
    first, silent = last - timedelta(days=120), last - timedelta(days=3)
    fill(engine, [HEALTHY, BROKEN, REFUSED], first, last - timedelta(days=1))
    fill(engine, [RESTATED], first, last)
    fill(engine, [STALE], first, silent)
    refresh(engine, now=datetime.now(UTC))
    fill(engine, [HEALTHY, BROKEN, REFUSED], last, last)
    execute(engine, f'UPDATE {SOURCE} SET close = -close WHERE id = {REFUSED} AND "timestamp" >= :last', last=last)
    changed = last - timedelta(days=60)
    ((close,),) = ask(engine, f"SELECT close FROM {SOURCE} WHERE id = {RESTATED} AND \"timestamp\"::date = '{changed}'")
    execute(engine, f"UPDATE {SOURCE} SET close = 101.5 WHERE id = {RESTATED} AND \"timestamp\"::date = '{changed}'")
    execute(engine, f"ALTER TABLE {BROKEN_TABLE} ADD CONSTRAINT not_today CHECK (id <> {BROKEN}) NOT VALID")
    document, logs = tmp_path / "run.json", tmp_path / "logs"
    page = tmp_path / "page.html"
    arguments = ["--all", "--json", str(document), "--log-dir", str(logs), "--html", str(page)]
    url = engine.url.render_as_string(hide_password=False)
    ended = run("run_daily_refresh.py", *arguments, url=url, **bot.environ)
    (log,) = logs.glob("refresh-*.log")
    (message,) = bot.texts
    return Told(
        ended.returncode,
        [line for line in ended.stdout.splitlines() if line != f"the page is {page.as_uri()}"],
        ended.stderr.splitlines(),
        [dict(pair.split("=", 1) for pair in shlex.split(line)[2:]) for line in log.read_text("utf-8").splitlines()],
        json.loads(document.read_text("utf-8")),
        [json.loads(line) for line in Path(f"{document}l").read_text("utf-8").splitlines()],
        message.splitlines(),
        data_of(page),
        bot,
        engine,
        f"{changed}, 1 row: close of {changed} changed from {close} to 101.5",
        str(silent),
    )


def number(words: str) -> int:
    """A number as people read it."""
    return int(words.replace(",", ""))


def table(console: list[str]) -> dict[str, tuple[int, int, float, str]]:
    """The table of the summary: assets, rows, seconds and result of each builder, and of all."""
    start = next(n for n, line in enumerate(console) if re.match(r"builder +assets +rows +seconds +result", line))
    found: dict[str, tuple[int, int, float, str]] = {}
    for line in console[start + 1 :]:
        row = re.fullmatch(rf"(.+?) +({NUMBER}) +({NUMBER}) +(\d+\.\d) *(.*?) *", line)
        if not row:
            return found
        found[TITLES.get(row[1], row[1])] = (number(row[2]), number(row[3]), float(row[4]), row[5])
    return found


def test_one_story(told: Told) -> None:
    """The numbers of console, log, document, history and message are those of the tables, and each other's."""
    document = told.document
    assert (told.exit_code, document["exit_code"], document["severity"], document["assets"]) == (1, 1, "error", 5)
    ((stored, exit_code, rows),) = ask(told.engine, f"SELECT summary, exit_code, rows FROM {RUNS}")
    assert (stored, exit_code, rows) == (document, 1, document["rows"])

    shown = table(told.console)
    steps = {step["builder"]: step for step in document["steps"]}
    assert list(shown) == [*steps, "total"]
    ended = {line["builder"]: line for line in told.events("end")}
    written = dict(ask(told.engine, f"SELECT builder, sum(rows)::int FROM {OUTCOMES} WHERE run_id = "
                                    f"(SELECT run_id FROM {RUNS}) GROUP BY 1"))  # fmt: skip
    for key, step in steps.items():
        result = ", ".join(f"{n} {status}" for status, n in step["outcomes"].items())
        assets = sum(step["outcomes"].values())
        *counts, seconds, ending = shown[key]
        assert (counts, ending) == ([assets, step["rows"]], result)
        assert abs(seconds - step["seconds"]) < 0.06
        assert (int(ended[key]["rows"]), float(ended[key]["seconds"])) == (step["rows"], step["seconds"])
        assert {status: int(ended[key].get(status, 0)) for status in step["outcomes"]} == step["outcomes"]
        assert written[key] == step["rows"]
        mine = [one for one in told.outcomes if one["builder"] == key]
        assert Counter(one["status"] for one in mine) == step["outcomes"]
        assert sum(one["rows"] for one in mine) == step["rows"]
    of = {
        group: sum(step["rows"] for key, step in steps.items() if key.startswith(group)) for group in ("bars", "emas")
    }
    assert of == {"bars": document["bars"], "emas": document["emas"]}
    assert document["rows"] == document["bars"] + document["emas"] == shown["total"][1]
    assert shown["total"][0] == 5
    assert f"written: {document['bars']:,} bars, {document['emas']:,} EMAs" in told.console
    (finish,) = told.events("finish")
    counted = {"exit_code": 1, **{name: document[name] for name in ("assets", "rows", "bars", "emas")}}
    counted |= {name: len(document[name]) for name in ("unfinished", "restated")}
    assert {name: int(finish[name]) for name in counted} == counted
    assert float(finish["seconds"]) == document["seconds"]
    assert finish["line"] == told.console[-1] == told.message[0].removeprefix("❌ ")
    details = [line["line"] for line in told.events("summary")]
    assert told.console[-1 - len(details) : -1] == details
    assert told.bot.beats == ["start", "fail"]


def test_what_failed(told: Told) -> None:
    """The failure and what had to be left out for it: the same assets for the same reasons everywhere."""
    behind = [one.key for one in BUILDERS if one.group.value == "emas" and BROKEN_TABLE in one.inputs]
    unfinished = [("bars.multi_tf", BROKEN, "failed", FAILURE)]
    unfinished += [(key, BROKEN, "skipped", "bars failed") for key in behind]
    assert [(one["builder"], one["id"], one["status"], one["why"]) for one in told.document["unfinished"]] == unfinished
    assert {one["since"] for one in told.document["unfinished"]} == {None}
    lines = [f"{status}: {key}, ID {id}: {why}" for key, id, status, why in unfinished]
    assert [line for line in told.console if re.match("(failed|skipped|not reached): ", line)] == lines
    assert [line["line"] for line in told.events("summary") if line["line"] in lines] == lines
    assert [line for line in told.message if re.match("(failed|skipped|not reached): ", line)] == [
        f"failed: ID {BROKEN}: {FAILURE}",
        f"skipped: ID {BROKEN}: bars failed",
    ]
    assert told.errors == [
        f"ID {BROKEN} bars.multi_tf: failed: {FAILURE}",
        *(f"Skipping ID {BROKEN} EMAs (bars failed) [{key}]" for key in behind),
    ]
    logged = [
        (line["builder"], int(line["id"]), line["status"], line.get("error") or line["reason"])
        for line in told.events("outcome")
        if line["status"] != "done"
    ]
    assert logged == unfinished
    ((noted,),) = ask(told.engine, f"SELECT count(*) FROM {OUTCOMES} WHERE status <> 'done'")
    assert noted == len(unfinished)
    verdict = f"Not complete: 1 of 5 assets (ID {BROKEN}) failed, skipped or not reached; "
    assert told.console[-1].startswith(verdict)
    assert told.console[-1].endswith(f"Next: {told.document['next_command']}")
    assert told.document["next_command"] == "python run_daily_refresh.py --all --resume"
    assert told.bot.sounds == [True]


def test_what_was_found(told: Told) -> None:
    """The restatement, the refused row and the silent asset: the same facts everywhere."""
    restated = f"restated: ID {RESTATED}, {told.changed}"
    silent = f"nothing new from the source: id {STALE} since {told.silent_since}"
    document = told.document
    (ledger,) = document["restated"]
    stored = ask(told.engine, f"SELECT id, first_day::text, last_day::text, rows_changed, old_close, new_close, reason "
                              f"FROM {LEDGER}")  # fmt: skip
    assert stored == [tuple(ledger.values())]
    assert restated == f"restated: ID {ledger['id']}, {ledger['first_day']}, {ledger['rows']} row: {ledger['reason']}"
    rejects = dict(ask(told.engine, f"SELECT reason, count(*) FROM {DAILY}_rejects GROUP BY 1"))
    assert document["rejects"] == rejects
    ((reason, count),) = rejects.items()
    assert count == 1
    refused = f"refused from the source: {reason} 1"
    assert document["notices"] == [silent]
    assert told.message[3:] == [restated, refused, silent]
    for line in (restated, refused, silent):
        assert told.console.count(line) == 1
        assert [one["line"] for one in told.events("summary")].count(line) == 1
    assert sum(int(line.get(reason, 0)) for line in told.events("outcome")) == 1
    assert not document["recovered"]


def test_page(told: Told) -> None:
    """The page holds what the console says, the document, and the same failures, restatements and numbers."""
    page, document = told.page, told.document
    assert page["summary"] == document
    assert page["headline"] == document["headline"] == told.console[-1]
    assert page["details"] == document["details"] == told.console[-1 - len(page["details"]) : -1]
    shown = {(one["builder"], one["id"], one["status"], one["why"]) for one in page["failures"]}
    assert shown == {(one["builder"], one["id"], one["status"], one["why"]) for one in document["unfinished"]}
    assert [{**one, "noted_at": None} for one in page["restatements"]] == [
        {**one, "noted_at": None} for one in document["restated"]
    ]
    (only,) = page["runs"]
    assert (only["run_id"], only["exit_code"], only["rows"], only["assets"]) == (
        document["run_id"],
        document["exit_code"],
        document["rows"],
        document["assets"],
    )
    launched = [step for step in document["steps"] if step["outcomes"]]
    assert [(one["builder"], one["rows"], one["outcomes"]) for one in only["steps"]] == [
        (one["builder"], one["rows"], one["outcomes"]) for one in launched
    ]
    lags = {one["id"]: one for one in page["freshness"]["assets"]}
    behind = page["freshness"]["tables"].index(BROKEN_TABLE)
    assert set(lags) == set(map(int, page["charts"]))
    assert lags[BROKEN]["lags"][0] == 0
    assert lags[BROKEN]["lags"][behind] == 1
    assert lags[STALE]["last"] == told.silent_since
    assert set(lags[HEALTHY]["lags"]) == {0}


def test_one_failure_from_night_to_night(engine: Engine, bot: Bot) -> None:
    """A failure sounds once, is repeated without a sound, is told when it is over; then there is nothing to tell."""
    last = yesterday()
    fill(engine, [HEALTHY, BROKEN], last - timedelta(days=60), last)
    execute(engine, f"ALTER TABLE {BROKEN_TABLE} ADD CONSTRAINT not_today CHECK (id <> {BROKEN}) NOT VALID")
    url = engine.url.render_as_string(hide_password=False)

    def night() -> int:
        """Refresh, and return the exit code."""
        return run("run_daily_refresh.py", "--all", url=url, **bot.environ).returncode

    codes = [night(), night()]
    execute(engine, f"ALTER TABLE {BROKEN_TABLE} DROP CONSTRAINT not_today")
    codes += [night(), night()]
    assert codes == [1, 1, 0, 0]
    verdict = (
        "❌ Not complete: 1 of 2 assets (ID 52) failed, skipped or not reached; 1 s of work left. "
        "Next: python run_daily_refresh.py --all --resume\n"
    )
    ((since,),) = ask(engine, f"SELECT min(noted_at)::date FROM {OUTCOMES} WHERE status <> 'done'")
    ((rows,),) = ask(engine, f"SELECT rows FROM {RUNS} ORDER BY started_at OFFSET 2 LIMIT 1")
    first, second, third = [re.sub(r"; [^;]+ of work left", "; 1 s of work left", told) for told in bot.texts]
    assert first == (
        verdict
        + 'failed: ID 52: new row for relation "cmc_price_bars_multi_tf" violates check constraint "not_today"\n'
        "skipped: ID 52: bars failed"
    )
    assert second == (
        verdict + f'failed: ID 52: still failing since {since}: new row for relation "cmc_price_bars_multi_tf" '
        'violates check constraint "not_today"\n'
        f"skipped: ID 52: still failing since {since}: bars failed"
    )
    assert re.sub(r"\d+\.\ds", "1.0s", third) == f"✅ Done: {rows:,} rows written in 1.0s.\nrecovered: ID 52"
    assert bot.sounds == [True, False, False]
    assert bot.beats == ["start", "fail", "start", "fail", "start", "", "start", ""]
