"""One run as every face reports it, with the same numbers everywhere. And one failure, reported from night to night."""

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
from programs import page_data, run
from refreshing import FEW, enable, refresh
from sqlalchemy import Engine
from statements import address, ask, execute

from refresh.catalog import BUILDERS, DAILY, SOURCE, Group, builders
from refresh.store.database import connect
from refresh.store.tables import LEDGER, OUTCOMES, RUNS

HEALTHY, BROKEN, RESTATED, STALE, REFUSED = 1, 52, 825, 1027, 1839
BROKEN_TABLE = "cmc_price_bars_multi_tf"
FAILURE = f'new row for relation "{BROKEN_TABLE}" violates check constraint "not_today"'
TITLES = {builder.title: builder.key for builder in BUILDERS}
NUMBER = r"[\d,]+"
FILL = f"""
    INSERT INTO {SOURCE} (id, name, timeopen, timeclose, open, high, low, close, volume, "timestamp")
    SELECT a, 'asset ' || a, d, d + interval '1 day - 1 ms', 100 + sin(n + a), 102 + sin(n + a), 98 + sin(n + a),
           100 + cos(n * 3 + a), 1e6, d + interval '1 day - 1 ms'
    FROM unnest(CAST(:assets AS int[])) a, generate_series(CAST(:first AS date), CAST(:last AS date), '1 day') AS day,
         LATERAL (SELECT day AT TIME ZONE 'UTC' AS d, day::date - date '2024-01-01' AS n) AS numbered
"""


@pytest.fixture
def bot() -> Iterator[Bot]:
    """A server that answers as Telegram does."""
    with serving() as server:
        yield server


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """A database with all tables and few series."""
    with connect(prepared_url) as engine:
        enable(engine, FEW, [10, 20])
        yield engine


def fill(engine: Engine, assets: list[int], first: date, last: date) -> None:
    """Give assets a price a day."""
    execute(engine, FILL, assets=assets, first=first, last=last)


def yesterday() -> date:
    """The last complete day, as the programs see it."""
    return datetime.now(UTC).date() - timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Story:
    """The one run, as each face reports it."""

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
        """The lines of the log about one kind of event."""
        return [line for line in self.log if line["event"] == name]

    @property
    def text(self) -> str:
        """Everything that people read."""
        logged = ["; ".join(line.values()) for line in self.log]
        return "\n".join([*self.console, *self.errors, *logged, *self.message])


@pytest.fixture
def story(engine: Engine, bot: Bot, tmp_path: Path) -> Story:
    """A run in which an asset fails, one is restated, one is silent, one has a refused row, and one is fine."""
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
    ended = run("run_daily_refresh.py", *arguments, url=address(engine), **bot.environ)
    (log,) = logs.glob("refresh-*.log")
    (message,) = bot.texts
    return Story(
        exit_code=ended.returncode,
        console=[line for line in ended.stdout.splitlines() if line != f"the page is {page.as_uri()}"],
        errors=ended.stderr.splitlines(),
        log=[event(line) for line in log.read_text("utf-8").splitlines()],
        document=json.loads(document.read_text("utf-8")),
        outcomes=[json.loads(line) for line in Path(f"{document}l").read_text("utf-8").splitlines()],
        message=message.splitlines(),
        page=page_data(page),
        bot=bot,
        engine=engine,
        changed=f"{changed}, 1 row: close of {changed} changed from {close} to 101.5",
        silent_since=str(silent),
    )


def event(line: str) -> dict[str, str]:
    """The fields of a line of the log."""
    _time, _level, *pairs = shlex.split(line)
    return dict(pair.split("=", 1) for pair in pairs)


def number(text: str) -> int:
    """A number that is printed with thousands separators."""
    return int(text.replace(",", ""))


def table(console: list[str]) -> dict[str, tuple[int, int, float, str]]:
    """The table of the summary: assets, rows, seconds and result of each builder, and of all."""
    (start,) = [n for n, line in enumerate(console) if re.match(r"builder +assets +rows +seconds +result", line)]
    lines: dict[str, tuple[int, int, float, str]] = {}
    for line in console[start + 1 :]:
        row = re.fullmatch(rf"(.+?) +({NUMBER}) +({NUMBER}) +(\d+\.\d) *(.*?) *", line)
        if not row:
            break
        lines[TITLES.get(row[1], row[1])] = (number(row[2]), number(row[3]), float(row[4]), row[5])
    return lines


def test_one_story(story: Story) -> None:
    """Console, log, document, history and message have the same numbers, and those of the tables."""
    document = story.document
    assert (story.exit_code, document["exit_code"], document["severity"], document["assets"]) == (1, 1, "error", 5)
    ((stored, exit_code, rows),) = ask(story.engine, f"SELECT summary, exit_code, rows FROM {RUNS}")
    assert (stored, exit_code, rows) == (document, 1, document["rows"])

    shown = table(story.console)
    steps = {step["builder"]: step for step in document["steps"]}
    assert list(shown) == [*steps, "total"]
    ended = {line["builder"]: line for line in story.events("end")}
    of_run = f"run_id = (SELECT run_id FROM {RUNS})"
    written = dict(ask(story.engine, f"SELECT builder, sum(rows)::int FROM {OUTCOMES} WHERE {of_run} GROUP BY 1"))
    for key, step in steps.items():
        result = ", ".join(f"{n} {status}" for status, n in step["outcomes"].items())
        assets = sum(step["outcomes"].values())
        *counts, seconds, ending = shown[key]
        assert (counts, ending) == ([assets, step["rows"]], result)
        assert abs(seconds - step["seconds"]) < 0.06
        assert (int(ended[key]["rows"]), float(ended[key]["seconds"])) == (step["rows"], step["seconds"])
        assert {status: int(ended[key].get(status, 0)) for status in step["outcomes"]} == step["outcomes"]
        assert written[key] == step["rows"]
        outcomes = [outcome for outcome in story.outcomes if outcome["builder"] == key]
        assert Counter(outcome["status"] for outcome in outcomes) == step["outcomes"]
        assert sum(outcome["rows"] for outcome in outcomes) == step["rows"]
    for group in ("bars", "emas"):
        assert document[group] == sum(step["rows"] for key, step in steps.items() if key.startswith(group))
    assert document["rows"] == document["bars"] + document["emas"] == shown["total"][1]
    assert shown["total"][0] == 5
    assert f"written: {document['bars']:,} bars, {document['emas']:,} EMAs" in story.console
    (finish,) = story.events("finish")
    counted = {"exit_code": 1, **{name: document[name] for name in ("assets", "rows", "bars", "emas")}}
    counted |= {name: len(document[name]) for name in ("unfinished", "restated")}
    assert {name: int(finish[name]) for name in counted} == counted
    assert float(finish["seconds"]) == document["seconds"]
    assert finish["line"] == story.console[-1] == story.message[0].removeprefix("❌ ")
    details = [line["line"] for line in story.events("summary")]
    assert story.console[-1 - len(details) : -1] == details
    assert story.bot.beats == ["start", "fail"]


def what_failed(entry: dict[str, Any]) -> tuple[str, int, str, str]:
    """The facts of unfinished work that every face reports."""
    return entry["builder"], entry["id"], entry["status"], entry["why"]


def test_what_failed(story: Story) -> None:
    """The failure, and what was skipped because of it: the same assets and the same reasons everywhere."""
    behind = [builder.key for builder in builders(Group.EMAS) if BROKEN_TABLE in builder.inputs]
    unfinished = [("bars.multi_tf", BROKEN, "failed", FAILURE)]
    unfinished += [(key, BROKEN, "skipped", "bars failed") for key in behind]
    assert list(map(what_failed, story.document["unfinished"])) == unfinished
    assert {entry["since"] for entry in story.document["unfinished"]} == {None}
    lines = [f"{status}: {key}, ID {id}: {why}" for key, id, status, why in unfinished]
    assert [line for line in story.console if re.match("(failed|skipped|not reached): ", line)] == lines
    assert [line["line"] for line in story.events("summary") if line["line"] in lines] == lines
    assert [line for line in story.message if re.match("(failed|skipped|not reached): ", line)] == [
        f"failed: ID {BROKEN}: {FAILURE}",
        f"skipped: ID {BROKEN}: bars failed",
    ]
    assert story.errors == [
        f"ID {BROKEN} bars.multi_tf: failed: {FAILURE}",
        *(f"Skipping ID {BROKEN} EMAs (bars failed) [{key}]" for key in behind),
    ]
    logged = [
        (line["builder"], int(line["id"]), line["status"], line.get("error") or line["reason"])
        for line in story.events("outcome")
        if line["status"] != "done"
    ]
    assert logged == unfinished
    ((noted,),) = ask(story.engine, f"SELECT count(*) FROM {OUTCOMES} WHERE status <> 'done'")
    assert noted == len(unfinished)
    verdict = f"Not complete: 1 of 5 assets (ID {BROKEN}) failed, skipped or not reached; "
    assert story.console[-1].startswith(verdict)
    assert story.console[-1].endswith(f"Next: {story.document['next_command']}")
    assert story.document["next_command"] == "python run_daily_refresh.py --all --resume"
    assert story.bot.sounds == [True]


def test_what_was_noticed(story: Story) -> None:
    """The restatement, the refused row and the silent asset: the same facts everywhere."""
    restated = f"restated: ID {RESTATED}, {story.changed}"
    silent = f"nothing new from the source: id {STALE} since {story.silent_since}"
    document = story.document
    (ledger,) = document["restated"]
    columns = "id, first_day::text, last_day::text, rows_changed, old_close, new_close, reason"
    assert ask(story.engine, f"SELECT {columns} FROM {LEDGER}") == [tuple(ledger.values())]
    assert restated == f"restated: ID {ledger['id']}, {ledger['first_day']}, {ledger['rows']} row: {ledger['reason']}"
    rejects = dict(ask(story.engine, f"SELECT reason, count(*) FROM {DAILY}_rejects GROUP BY 1"))
    assert document["rejects"] == rejects
    ((reason, count),) = rejects.items()
    assert count == 1
    refused = f"refused source rows: {reason} 1"
    assert document["notices"] == [silent]
    assert story.message[3:] == [restated, refused, silent]
    for line in (restated, refused, silent):
        assert story.console.count(line) == 1
        assert [event["line"] for event in story.events("summary")].count(line) == 1
    assert sum(int(line.get(reason, 0)) for line in story.events("outcome")) == 1
    assert not document["recovered"]


def test_page(story: Story) -> None:
    """The page has the lines of the console, the document, and the same failures, restatements and numbers."""
    page, document = story.page, story.document
    assert page["summary"] == document
    assert page["headline"] == document["headline"] == story.console[-1]
    assert page["details"] == document["details"] == story.console[-1 - len(page["details"]) : -1]
    assert set(map(what_failed, page["failures"])) == set(map(what_failed, document["unfinished"]))
    for line in page["restatements"]:
        assert line.pop("noted_at")
    assert page["restatements"] == document["restated"]
    (only,) = page["runs"]
    for name in ("run_id", "exit_code", "rows", "assets"):
        assert only[name] == document[name]
    launched = [step for step in document["steps"] if step["outcomes"]]
    for shown, step in zip(only["steps"], launched, strict=True):
        for name in ("builder", "rows", "outcomes"):
            assert shown[name] == step[name]
    lags = {asset["id"]: asset for asset in page["freshness"]["assets"]}
    behind = page["freshness"]["tables"].index(BROKEN_TABLE)
    assert set(lags) == set(map(int, page["charts"]))
    assert lags[BROKEN]["lags"][0] == 0
    assert lags[BROKEN]["lags"][behind] == 1
    assert lags[STALE]["last"] == story.silent_since
    assert set(lags[HEALTHY]["lags"]) == {0}


def test_nobody_reads_sql(story: Story) -> None:
    """Neither the output nor the log nor the message quotes a statement."""
    assert not re.search(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|COPY|BEGIN)\b|\[SQL:", story.text)


def test_one_failure_from_night_to_night(engine: Engine, bot: Bot) -> None:
    """A failure sounds once, is repeated without a sound, and its end is reported. After that no message is sent."""
    last = yesterday()
    fill(engine, [HEALTHY, BROKEN], last - timedelta(days=60), last)
    execute(engine, f"ALTER TABLE {BROKEN_TABLE} ADD CONSTRAINT not_today CHECK (id <> {BROKEN}) NOT VALID")

    def night() -> int:
        """Refresh, and return the exit code."""
        return run("run_daily_refresh.py", "--all", url=address(engine), **bot.environ).returncode

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
    first, second, third = [re.sub(r"; [^;]+ of work left", "; 1 s of work left", text) for text in bot.texts]
    assert first == (
        verdict
        + 'failed: ID 52: new row for relation "cmc_price_bars_multi_tf" violates check constraint "not_today"\n'
        "skipped: ID 52: bars failed"
    )
    assert second == (
        verdict + 'failed: ID 52: new row for relation "cmc_price_bars_multi_tf" '
        f'violates check constraint "not_today" (since {since})\n'
        f"skipped: ID 52: bars failed (since {since})"
    )
    assert re.sub(r"\d+\.\ds", "1.0s", third) == f"✅ Done: {rows:,} rows written in 1.0s.\nrecovered: ID 52"
    assert bot.sounds == [True, False, False]
    assert bot.beats == ["start", "fail", "start", "fail", "start", "", "start", ""]
