"""The digest of a week: numbers of the history counted by hand, printed and sent; and validations that are kept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bot_api import Bot, serving
from prices import fill
from programs import run
from refreshing import FEW, enable
from sqlalchemy import Engine
from statements import address, ask, execute

DAILY = "run_daily_refresh.py"
RUN = """
    INSERT INTO refresh_runs (run_id, command, arguments, host, pid, started_at, ended_at, exit_code, assets, rows,
                              program)
    VALUES (:run, 'by hand', '{}', 'here', 1, now() - CAST(:ago AS interval),
            now() - CAST(:ago AS interval) + make_interval(secs => :seconds), :code, 2, :rows, :program)
"""
OUTCOME = """
    INSERT INTO refresh_outcomes (run_id, builder, id, status, rows, seconds, reason, retries, notes, noted_at)
    VALUES (:run, 'bars.1d', :id, :status, 0, 0, '', 0, '{}', now() - CAST(:ago AS interval))
"""
VALIDATION = """
    INSERT INTO refresh_validations
    VALUES (:run, now() - CAST(:ago AS interval), 2, '{1}', '{}', 1, CAST(:found AS jsonb), '1')
"""


@pytest.fixture
def bot() -> Iterator[Bot]:
    """A server that answers as Telegram does."""
    with serving() as server:
        yield server


@pytest.fixture
def lived(engine: Engine) -> Engine:
    """A history of two weeks: three refreshes and a single builder in this one, two in the one before, one older."""
    runs = [
        ("a", "1 day", 10, 0, 100, "daily"), ("b", "2 days", 20, 1, 50, "daily"), ("c", "6 days", 40, 0, 7, "bars"),
        ("alone", "3 days", 999, 1, 9_999, "builder"), ("d", "8 days", 5, 0, 1_000, "daily"),
        ("e", "13 days", 7, 0, 2_000, "daily"), ("old", "15 days", 1, 1, 1, "daily"),
    ]  # fmt: skip
    for name, ago, seconds, code, rows, program in runs:
        execute(engine, RUN, run=name, ago=ago, seconds=seconds, code=code, rows=rows, program=program)
    ends = [
        ("a", 1, "done", "1 day"), ("b", 1, "failed", "2 days"), ("b", 52, "failed", "2 days"),
        ("c", 1, "failed", "6 days"), ("d", 7, "failed", "8 days"),
    ]  # fmt: skip
    for name, id, status, ago in ends:
        execute(engine, OUTCOME, run=name, id=id, status=status, ago=ago)
    execute(engine, VALIDATION, run="a", ago="1 day", found="[]")
    execute(engine, VALIDATION, run="v", ago="9 days", found='[{"id": 1}, {"id": 2}]')
    return engine


def test_week_beside_the_one_before(lived: Engine) -> None:
    """Each number is counted by hand; single builders are no refreshes, and what is older than two weeks is none."""
    result = run(DAILY, "--digest", url=address(lived))
    assert (result.returncode, result.stderr) == (0, "")
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["7", "days", "before"],
        ["refreshes", "3", "2"],
        ["that", "did", "all", "their", "work", "2", "2"],
        ["seconds,", "median", "20.0", "6.0"],
        ["rows", "written", "157", "3,000"],
        ["assets", "that", "failed", "2", "1"],
        ["revisions", "of", "prices", "0", "0"],
        ["refused", "source", "rows", "0", "0"],
        ["validations", "1", "1"],
        ["wrong", "values", "found", "0", "2"],
        ["Seven", "days:", "2", "of", "3", "refreshes", "did", "all", "their", "work."],
    ]


def test_digest_is_sent(lived: Engine, bot: Bot) -> None:
    """The same goes to the alert channels, whatever it says; a level above it is respected."""
    assert run(DAILY, "--digest", url=address(lived), ALERT_LEVEL="error", **bot.telegram).returncode == 0
    assert bot.messages == []
    assert run(DAILY, "--digest", url=address(lived), **bot.telegram).returncode == 0
    (message,) = bot.texts
    assert "Seven days: 2 of 3 refreshes did all their work." in message
    assert "rows written: 157 (before: 3,000)" in message


def test_week_without_a_refresh(engine: Engine, bot: Bot) -> None:
    """That nothing ran is said loudly."""
    result = run(DAILY, "--digest", url=address(engine), ALERT_LEVEL="error", **bot.telegram)
    assert result.stdout.splitlines()[-1] == "No refresh in seven days."
    assert len(bot.messages) == 1


def test_validations_are_kept(engine: Engine) -> None:
    """A validation is kept whether it follows a refresh or not; without the table it is not, and ends as otherwise."""
    enable(engine, FEW, (10,))
    fill(engine, 1, "2024-01-01", "2024-02-20")
    run(DAILY, "--all", "--validate", "--sample", "all", url=address(engine))
    execute(engine, "UPDATE cmc_price_bars_1d SET close = close + 1 WHERE timestamp = '2024-02-01 23:59:59.999Z'")
    wrong = run(DAILY, "--validate", "--sample", "all", url=address(engine))
    assert wrong.returncode == 4
    kept = ask(engine, "SELECT judged, recomputed, findings FROM refresh_validations ORDER BY validated_at")
    assert kept[0] == (1, [1], [])
    assert kept[1][:2] == (1, [1])
    assert {finding["id"] for finding in kept[1][2]} == {1}
    execute(engine, "DROP TABLE refresh_validations")
    unkept = run(DAILY, "--validate", "--sample", "all", url=address(engine))
    assert (unkept.returncode, unkept.stderr) == (4, wrong.stderr)
