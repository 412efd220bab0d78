"""The mechanism of a builder: which assets are worked on, which fail alone, and what is reported."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prices import fill
from refreshing import TARGETS, digest, refresh, rows
from sqlalchemy import Engine
from statements import ask, execute

from refresh.builder.__main__ import main
from refresh.catalog import BUILDERS, by_key
from refresh.options.request import Request
from refresh.records import Outcome, Status
from refresh.stop import Stop
from refresh.store.database import connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DAILY, BARS, EMAS, CAL, V2 = (
    by_key(key) for key in ("bars.1d", "bars.multi_tf", "emas.multi_tf", "emas.cal", "emas.v2")
)
ACCEPTING = Request(accept_restatement=True)
PRICES = "open = {0}, high = {0}, low = {0}, close = {0}"


@pytest.fixture
def engine(prepared_url: str) -> Iterator[Engine]:
    """An engine on a database with forty days of assets 1, 2 and 3 of which nothing is built; EMAs begin early."""
    with connect(prepared_url) as engine:
        for asset in (1, 2, 3):
            fill(engine, asset, "2024-01-01", "2024-02-09")
        execute(engine, "INSERT INTO dim_period VALUES (2, true, 0)")
        yield engine


def assets(engine: Engine, table: str) -> set[int]:
    """The assets that have rows in a table."""
    return {asset for (asset,) in ask(engine, f"SELECT DISTINCT id FROM {table}")}


def of(outcomes: Sequence[Outcome], status: Status) -> set[tuple[str, int]]:
    """The builder and asset of each outcome with a status."""
    return {(outcome.builder, outcome.id) for outcome in outcomes if outcome.status is status}


# One asset's failure is its own


def test_violation_fails_only_its_asset(engine: Engine) -> None:
    """Closes that no float can add up stop the EMAs of their asset; its bars and all other assets are written."""
    execute(engine, f"UPDATE cmc_price_histories7 SET {PRICES.format('1e308')} WHERE id = 2")
    outcomes = refresh(engine, builders=[DAILY, BARS, EMAS, V2])
    assert of(outcomes, Status.FAILED) == {(EMAS.key, 2), (V2.key, 2)}
    for outcome in outcomes:
        if outcome.status is Status.FAILED:
            assert outcome.error is not None
            assert "id 2, tf 2D, period 2" in outcome.error
            assert "is not finite or outside the closes it has seen" in outcome.error
    assert assets(engine, BARS.legs[0].target) == {1, 2, 3}
    assert assets(engine, EMAS.legs[0].target) == assets(engine, V2.legs[0].target) == {1, 3}


def test_violation_is_mended(engine: Engine) -> None:
    """Once the closes are mended, the asset has the same rows as without the failure."""
    refresh(engine)
    whole = {table: digest(engine, table) for table in TARGETS}
    execute(engine, "CREATE TABLE kept AS SELECT * FROM cmc_price_histories7 WHERE id = 2")
    execute(engine, f"UPDATE cmc_price_histories7 SET {PRICES.format('1e308')} WHERE id = 2")
    assert of(refresh(engine, ACCEPTING), Status.FAILED) >= {(EMAS.key, 2), (V2.key, 2)}
    execute(engine, "DELETE FROM cmc_price_histories7 WHERE id = 2")
    execute(engine, "INSERT INTO cmc_price_histories7 SELECT * FROM kept")
    assert of(refresh(engine, ACCEPTING), Status.FAILED) == set()
    assert {table: digest(engine, table) for table in TARGETS} == whole


@pytest.mark.parametrize("wrong", [{1}, {3}, {1, 3}, {1, 2, 3}], ids=str)
def test_row_that_the_table_refuses(engine: Engine, wrong: set[int]) -> None:
    """A batch that the database refuses is written, except the assets that it refuses by themselves."""
    condition = " AND ".join(f"id <> {asset}" for asset in wrong)
    execute(engine, f"ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT spare CHECK ({condition})")
    outcomes = refresh(engine, builders=[DAILY])
    assert of(outcomes, Status.FAILED) == {(DAILY.key, asset) for asset in wrong}
    assert of(outcomes, Status.DONE) == {(DAILY.key, asset) for asset in {1, 2, 3} - wrong}
    assert assets(engine, "cmc_price_bars_1d") == assets(engine, "cmc_price_bars_1d_state") == {1, 2, 3} - wrong
    assert {outcome.error for outcome in outcomes if outcome.id in wrong} == {
        'new row for relation "cmc_price_bars_1d" violates check constraint "spare"'
    }


def test_each_failed_asset_has_its_own_error(engine: Engine) -> None:
    """Assets of one batch that fail for different reasons each report their own."""
    for asset in (1, 3):
        execute(engine, f"ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT spare_{asset} CHECK (id <> {asset})")
    outcomes = refresh(engine, builders=[DAILY])
    errors = {outcome.id: outcome.error for outcome in outcomes if outcome.status is Status.FAILED}
    refusal = 'new row for relation "cmc_price_bars_1d" violates check constraint "spare_{}"'
    assert errors == {asset: refusal.format(asset) for asset in (1, 3)}


def test_failed_asset_is_retried(engine: Engine) -> None:
    """What failed is due again, and what was done is not."""
    execute(engine, "ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT spare CHECK (id <> 2)")
    refresh(engine, builders=[DAILY])
    execute(engine, "ALTER TABLE cmc_price_bars_1d DROP CONSTRAINT spare")
    (outcome,) = refresh(engine, builders=[DAILY])
    assert (outcome.id, outcome.status, outcome.rows) == (2, Status.DONE, 40)


def test_failed_revision_leaves_everything(engine: Engine) -> None:
    """An asset whose change is refused keeps its rows, its state and its marks as they were."""
    refresh(engine)
    tables = [*TARGETS, *(f"{table}_state" for table in TARGETS), "cmc_price_bars_1d_source_months"]
    before = {table: ask(engine, f"SELECT t::text FROM {table} t ORDER BY 1") for table in tables}
    execute(engine, "ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT spare CHECK (close < 15)")
    execute(engine, "UPDATE cmc_price_histories7 SET close = 16 WHERE id = 2 AND timeclose < '2024-01-05Z'")
    assert of(refresh(engine), Status.FAILED) == {(DAILY.key, 2)}
    assert {table: ask(engine, f"SELECT t::text FROM {table} t ORDER BY 1") for table in tables} == before


# An asset that loses its bars


def test_asset_without_a_bar_left(engine: Engine) -> None:
    """An asset whose rows are all refused loses its rows in every table, and gets them back when they are mended."""
    refresh(engine)
    whole = {table: rows(engine, table) for table in TARGETS}
    assert all(whole.values())
    execute(engine, "UPDATE cmc_price_histories7 SET marketcap = close, close = NULL WHERE id = 1")
    assert of(refresh(engine), Status.FAILED) == {("bars.1d", 1)}
    assert of(refresh(engine, ACCEPTING), Status.FAILED) == set()
    assert {table: assets(engine, table) for table in TARGETS} == {table: {2, 3} for table in TARGETS}
    others = {table: [row for row in whole[table] if not row.startswith("(1,")] for table in TARGETS}
    assert {table: rows(engine, table) for table in TARGETS} == others
    assert ask(engine, "SELECT reason, count(*) FROM cmc_price_bars_1d_rejects GROUP BY 1") == [("null_ohlc", 40)]
    assert refresh(engine) == []
    execute(engine, "UPDATE cmc_price_histories7 SET close = marketcap, marketcap = NULL WHERE id = 1")
    assert of(refresh(engine), Status.FAILED) == set()
    assert {table: rows(engine, table) for table in TARGETS} == whole


def test_asset_without_a_bar_ever(engine: Engine) -> None:
    """An asset that never had a good row is done, and is not due again."""
    execute(engine, "UPDATE cmc_price_histories7 SET close = NULL WHERE id = 1")
    outcomes = refresh(engine)
    assert of(outcomes, Status.FAILED) == set()
    assert {table: assets(engine, table) for table in TARGETS} == {table: {2, 3} for table in TARGETS}
    assert refresh(engine) == []


# Outcomes


def test_each_asset_is_reported_once(engine: Engine) -> None:
    """Builders with two tables report an asset once both are done, with the rows of both."""
    outcomes = refresh(engine)
    assert set(Counter((outcome.builder, outcome.id) for outcome in outcomes).values()) == {1}
    assert len(outcomes) == len(BUILDERS) * 3
    for builder in BUILDERS:
        written = sum(digest(engine, leg.target)[0] for leg in builder.legs)
        assert sum(outcome.rows for outcome in outcomes if outcome.builder == builder.key) == written


def test_reasons_are_reported_once(engine: Engine) -> None:
    """Two tables that are due for the same reason share it."""
    assert {outcome.reason for outcome in refresh(engine)} == {"build 40 days: not built yet"}


def test_one_of_two_tables_fails(engine: Engine) -> None:
    """The asset has failed; the other table is written and not due again."""
    execute(engine, "ALTER TABLE cmc_ema_multi_tf_cal_iso_packed ADD CONSTRAINT spare CHECK (id <> 2)")
    outcomes = refresh(engine)
    assert of(outcomes, Status.FAILED) == {(CAL.key, 2)}
    assert assets(engine, "cmc_ema_multi_tf_cal_us") == {1, 2, 3}
    assert assets(engine, "cmc_ema_multi_tf_cal_iso") == {1, 3}
    execute(engine, "ALTER TABLE cmc_ema_multi_tf_cal_iso_packed DROP CONSTRAINT spare")
    (outcome,) = refresh(engine)
    assert (outcome.builder, outcome.id, outcome.status) == (CAL.key, 2, Status.DONE)
    assert outcome.rows == len([row for row in rows(engine, "cmc_ema_multi_tf_cal_iso") if row.startswith("(2,")])


def test_repairs_and_rejects_are_noted(engine: Engine) -> None:
    """Repairs and rejects are counted per asset by their names."""
    execute(engine, "UPDATE cmc_price_histories7 SET high = 1 WHERE id = 1 AND timeclose < '2024-01-03Z'")
    execute(engine, "UPDATE cmc_price_histories7 SET volume = -1 WHERE id = 2 AND timeclose < '2024-01-02Z'")
    notes = {outcome.id: outcome.notes for outcome in refresh(engine, builders=[DAILY])}
    derived = {"repaired_timehigh": 40, "repaired_timelow": 40}
    assert notes[1] == {"repaired_high": 2, **derived}
    assert notes[2] == {"bad_volume": 1, "repaired_timehigh": 39, "repaired_timelow": 39}
    assert notes[3] == derived


# The process


def build(engine: Engine, *arguments: str) -> tuple[int, list[Outcome]]:
    """Run a builder as its process does. Returns its exit code and what it reported."""
    url = engine.url.render_as_string(hide_password=False)
    with tempfile.NamedTemporaryFile() as reported:
        code = main([*arguments, "--outcomes-fd", str(os.dup(reported.fileno()))], {"TARGET_DB_URL": url}, Stop())
        return code, [Outcome.parse(line) for line in Path(reported.name).read_text(encoding="utf-8").splitlines()]


def test_assets_that_are_up_to_date_are_reported(engine: Engine) -> None:
    """Every selected asset has an outcome, even if there was nothing to do."""
    refresh(engine, Request(ids=(1, 2)), [DAILY])
    code, outcomes = build(engine, "bars.1d", "--ids", "2,3")
    assert code == 0
    assert [(outcome.id, outcome.status, outcome.rows, outcome.reason) for outcome in outcomes] == [
        (3, Status.DONE, 40, "build 40 days: not built yet"),
        (2, Status.DONE, 0, "up to date"),
    ]


def test_every_asset_is_reported(engine: Engine) -> None:
    """Without ids, all assets are reported."""
    refresh(engine, builders=[DAILY])
    code, outcomes = build(engine, "1d")
    assert code == 0
    assert of(outcomes, Status.DONE) == {(DAILY.key, asset) for asset in (1, 2, 3)}


def test_lost_connection_is_no_assets_failure(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    """If the server goes away again and again, no asset has failed: the last line of the builder is its error."""
    execute(
        engine,
        """CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS
           'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'""",
    )
    execute(engine, "CREATE TRIGGER leave BEFORE INSERT ON cmc_price_bars_1d EXECUTE FUNCTION leave()")
    assert build(engine, "bars.1d", "--retries", "1") == (1, [])
    errors = capsys.readouterr().err
    assert errors.count("trying again: ") == 1
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == "error: server closed the connection unexpectedly"
    assert assets(engine, "cmc_price_bars_1d") == set()


def test_exit_code_of_a_failure(engine: Engine) -> None:
    """The exit code says that an asset failed."""
    execute(engine, "ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT spare CHECK (id <> 2)")
    code, outcomes = build(engine, "bars.1d")
    assert code == 1
    assert len(outcomes) == 3


def test_outcomes_without_a_pipe(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    """A builder that was started by hand writes its outcomes to stdout."""
    url = engine.url.render_as_string(hide_password=False)
    assert main(["bars.1d", "--ids", "1"], {"TARGET_DB_URL": url}, Stop()) == 0
    (line,) = capfd.readouterr().out.splitlines()
    assert Outcome.parse(line).rows == 40


def test_smoothing_factors_are_shown(engine: Engine) -> None:
    """A builder of EMAs writes the factors of its series into a table."""
    refresh(engine, builders=[DAILY])
    build(engine, "emas.v2", "--tf-period-combos", "7d:10")
    assert ask(engine, "SELECT tf, period, tf_days, effective_days, alpha_bar FROM ema_alpha_lookup") == [
        ("7D", 10, 7, 70, 2 / 11)
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["multi_tf"], 2, "builder multi_tf: two have this name; say bars.multi_tf or emas.multi_tf"),
        (["cal_uss"], 2, "builder cal_uss: no such builder; nearest: "),
        (["bars.1d", "--ids", "9"], 2, "--ids 9: not in cmc_price_histories7; nearest: 1, 2, 3"),
        (["bars.multi_tf", "--tfs", "8d"], 2, "--tfs 8d: no such timeframe"),
        (["emas.v2", "--periods", "11"], 2, "--periods 11: no such period in dim_period; nearest: 2, 10, 14"),
        (["bars.1d", "--tz", "Asia/Tokyo"], 3, "--tz Asia/Tokyo: the tables were built with UTC"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_builder_that_cannot_start(
    engine: Engine, arguments: list[str], code: int, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It reports nothing, and its error is one line."""
    assert build(engine, *arguments) == (code, [])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {error}")
