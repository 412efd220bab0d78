"""Tables of which no series is refreshed, because every timeframe in them is disabled or left out by a filter."""

from __future__ import annotations

from subprocess import CompletedProcess

import pytest
from prices import fill
from programs import run
from refreshing import FEW, check_equal, digest, enable
from sqlalchemy import Engine
from statements import address, ask, execute

US = ("1W_CAL_US", "1M_CAL")
PROGRAM = "run_daily_refresh.py"
LOSE = "DELETE FROM cmc_ema_multi_tf_cal_iso_packed WHERE id = 2"


@pytest.fixture
def built(engine: Engine) -> Engine:
    """Three assets, with a timeframe or two in every table."""
    for id in (1, 2, 3):
        fill(engine, id, "2023-01-01", "2023-06-10")
    enable(engine, FEW, (10,))
    assert start(engine, "--all").returncode == 0
    return engine


def start(engine: Engine, *arguments: str) -> CompletedProcess[str]:
    """A run, or another way of using the same program."""
    return run(PROGRAM, *arguments, url=address(engine))


def check(engine: Engine) -> tuple[int, str]:
    """The exit code of a check however old prices are, and what it says."""
    checked = start(engine, "--check", "--max-lag", "10000d")
    return checked.returncode, checked.stdout


@pytest.mark.parametrize("is_new", [False, True], ids=["built before", "never built"])
def test_other_timeframes_go_on(built: Engine, is_new: bool) -> None:
    """EMAs over two kinds of bars do not wait for the kind of which every timeframe is disabled."""
    before = digest(built, "cmc_ema_multi_tf_cal_iso")
    assert before[0]
    execute(built, "UPDATE dim_timeframe SET is_enabled = false WHERE tf = ANY(:us)", us=list(US))
    if is_new:
        execute(built, "TRUNCATE cmc_price_bars_multi_tf_cal_us, cmc_ema_multi_tf_cal_us_packed")
    execute(built, LOSE)
    night = start(built, "--all")
    assert (night.returncode, night.stderr) == (0, "")
    assert digest(built, "cmc_ema_multi_tf_cal_iso") == before
    assert check(built)[0] == 0


def test_filter_leaves_one_kind(built: Engine) -> None:
    """Neither do they wait if a filter has left no timeframe of the other kind."""
    before = digest(built, "cmc_ema_multi_tf_cal_iso")
    execute(built, LOSE)
    filtered = start(built, "--emas", "--tfs", "1W_CAL_ISO")
    assert (filtered.returncode, filtered.stderr) == (0, "")
    assert digest(built, "cmc_ema_multi_tf_cal_iso") == before


def test_check_agrees_with_the_plan(built: Engine) -> None:
    """What is lost of a table that is not refreshed is no lack, until a timeframe of it is enabled again."""
    before = digest(built, "cmc_ema_multi_tf")
    execute(built, "TRUNCATE cmc_ema_multi_tf_series", "UPDATE dim_timeframe SET is_enabled = false WHERE tf = '2D'")
    night = start(built, "--all")
    assert (night.returncode, check(built)[0]) == (0, 0)
    execute(built, "UPDATE dim_timeframe SET is_enabled = true WHERE tf = '2D'")
    code, said = check(built)
    assert (code, said.count("cmc_ema_multi_tf: ")) == (1, 1)
    assert start(built, "--all").returncode == 0
    assert check(built)[0] == 0
    assert digest(built, "cmc_ema_multi_tf") == before
    assert ask(built, "SELECT count(*) > 0 FROM cmc_ema_multi_tf WHERE tf = '2D'") == [(True,)]


def test_what_disabled_series_lost_is_no_lack(built: Engine) -> None:
    """A check agrees if the series of a disabled period lost their places, and those of the others were built again."""
    execute(built, "UPDATE dim_period SET is_enabled = period IN (10, 20)")
    assert start(built, "--all").returncode == 0
    execute(built, "UPDATE dim_period SET is_enabled = period = 10", "TRUNCATE cmc_ema_multi_tf_series")
    assert check(built)[0] == 1
    assert start(built, "--all").returncode == 0
    assert "Nothing to do: " in start(built, "--all").stdout
    assert check(built)[0] == 0
    execute(built, "UPDATE dim_period SET is_enabled = period IN (10, 20)")
    assert check(built)[0] == 1
    assert start(built, "--all").returncode == 0
    check_equal(built)
    assert check(built)[0] == 0


EMAS, BARS = "cmc_ema_multi_tf_cal_anchor_iso", "cmc_price_bars_multi_tf_cal_anchor_iso"
LOST = {
    "state of EMAs": (EMAS, f"DELETE FROM {EMAS}_state WHERE id = 2"),
    "state of bars": (BARS, f"DELETE FROM {BARS}_state WHERE id = 2"),
    "places of EMAs": (BARS, f"TRUNCATE {EMAS}_series"),
}


@pytest.mark.parametrize(("kept", "loss"), LOST.values(), ids=LOST)
def test_one_night_mends_what_disabled_series_lost(built: Engine, kept: str, loss: str) -> None:
    """Rows of theirs that can still be read are kept, and all are built again once the series are enabled."""
    before = digest(built, kept)
    assert before[0]
    execute(built, "UPDATE dim_period SET is_enabled = period = 50")  # more bars than there are: no rows
    execute(built, "UPDATE dim_timeframe SET is_enabled = false WHERE tf = '1W_CAL_ANCHOR_ISO'")
    assert start(built, "--all").returncode == 0
    execute(built, loss)
    night = start(built, "--all")
    assert (night.returncode, night.stderr) == (0, "")
    assert "Nothing to do: " in start(built, "--all").stdout
    assert check(built)[0] == 0
    assert digest(built, kept) == before
    execute(built, "UPDATE dim_period SET is_enabled = period = 10")
    execute(built, "UPDATE dim_timeframe SET is_enabled = true WHERE tf = '1W_CAL_ANCHOR_ISO'")
    assert start(built, "--all").returncode == 0
    assert digest(built, kept) == before
    check_equal(built)
    assert check(built)[0] == 0
