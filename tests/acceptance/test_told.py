"""Restatements as people see them: each in plan, explanation, summary and ledger, and five nights of them."""

from __future__ import annotations

import pytest
from prices import fill
from programs import run
from refreshing import FEW, digests, enable, refresh
from sqlalchemy import Engine
from statements import address, ask, execute

from refresh.catalog import DAILY, SOURCE
from refresh.options.request import Request
from refresh.store.tables import LEDGER

SPLIT = f"""UPDATE {SOURCE} SET open = round((open * 0.25)::numeric, 2), high = round((high * 0.25)::numeric, 2),
    low = round((low * 0.25)::numeric, 2), close = round((close * 0.25)::numeric, 2)"""
RESTAMP = f"""CREATE TABLE moved AS SELECT * FROM {SOURCE} WHERE id = 1; DELETE FROM {SOURCE} WHERE id = 1;
    INSERT INTO {SOURCE} SELECT (jsonb_populate_record(m, jsonb_build_object(
        'timestamp', "timestamp" + CAST(:span AS interval), 'timeclose', "timestamp" + CAST(:span AS interval)))).*
    FROM moved m; DROP TABLE moved"""
NAN = f"""UPDATE {SOURCE} SET open = 'NaN', high = 'NaN', low = 'NaN', close = 'NaN'
    WHERE id = 1 AND "timestamp"::date = '2024-01-24'"""
LAST = f"UPDATE {SOURCE} SET close = 12.5 WHERE id = 1 AND \"timestamp\"::date = '2024-02-09'"


@pytest.fixture
def engine(engine: Engine) -> Engine:
    """Forty days of two assets, of which few series are built; closes have more than two decimals."""
    enable(engine, FEW, [10])
    for asset in (1, 2):
        fill(engine, asset, "2024-01-01", "2024-02-09")
    execute(engine, f"UPDATE {SOURCE} SET open = 498.55, high = 505.1, low = 490.15, "
                    'close = 495 + extract(day FROM "timestamp") * 0.11')  # fmt: skip
    refresh(engine)
    return engine


def restamp(engine: Engine, span: str) -> None:
    """Move all times of asset 1."""
    for statement in RESTAMP.split(";"):
        execute(engine, statement, span=span)


def told(engine: Engine, *words: str) -> dict[str, str]:
    """What plan, explanation and summary say."""
    url = address(engine)
    said = {}
    for name, arguments in {"plan": ["--dry-run"], "explain": ["--explain", "1"], "summary": []}.items():
        target = [] if name == "explain" else ["--all"]
        result = run("run_daily_refresh.py", *target, *arguments, *words, url=url, COLUMNS="400")
        said[name] = " ".join(result.stdout.split())
    return said


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (LAST, "the last day, 2024-02-09, was provisional: close 495.99 -> 12.5"),
        (NAN, "1 day lost its prices: 2024-01-24"),
        ("5 hours", "timestamps of 40 days moved by 5:00:00, no price changed"),
        ("-20 hours", "timestamps of 40 days moved by -20:00:00, no price changed"),
    ],
    ids=["provisional", "emptied", "later", "earlier"],
)
def test_a_sentence_everywhere(engine: Engine, change: str, sentence: str) -> None:
    """Plan, explanation, summary and ledger say what happened."""
    if change.endswith("hours"):
        restamp(engine, change)
    else:
        execute(engine, change)
    for place, text in told(engine).items():
        assert sentence in text, place
    assert ask(engine, f"SELECT reason FROM {LEDGER}") == [(sentence,)]


def test_a_split_is_accepted_for_its_asset(engine: Engine) -> None:
    """A split with two decimals is refused by name; with --ids only that of the asset is accepted, and recorded."""
    execute(engine, SPLIT)
    sentence = "looks like a 4:1 split: close of 2024-01-01 changed from 495.11 to 123.78, 39 more days changed"
    refused = f"its whole history is multiplied by 0.25 ({sentence})"
    for place, text in told(engine).items():
        assert refused[:40] in text, place
        assert sentence in text, place
    accepted = run("run_daily_refresh.py", "--all", "--accept-restatement", "--ids", "1", url=address(engine))
    assert accepted.returncode == 0, accepted.stdout
    assert ask(engine, f"SELECT id, reason FROM {LEDGER}") == [(1, sentence)]
    closes = f"SELECT id, close FROM {DAILY} WHERE \"timestamp\"::date = '2024-01-01' ORDER BY 1"
    assert ask(engine, closes) == [(1, 123.78), (2, 495.11)]
    again = run("run_daily_refresh.py", "--all", url=address(engine))
    assert again.returncode == 1
    assert "ID 2: restatement refused" in " ".join(again.stdout.split())


def test_five_nights(engine: Engine) -> None:
    """A provisional day, lost prices that come back, moved times and a split end as if built today."""
    nights = [LAST, NAN, "-5 hours", "5 hours", SPLIT]
    for night, change in enumerate(nights):
        fill(engine, 1, f"2024-02-1{night}", f"2024-02-1{night}")
        if change.endswith("hours"):
            restamp(engine, change)
        else:
            execute(engine, change)
        outcomes = refresh(engine, Request(accept_restatement=True))
        assert not [outcome for outcome in outcomes if outcome.error]
        refreshed = digests(engine)
        refresh(engine, Request(full_rebuild=True))
        assert digests(engine) == refreshed
