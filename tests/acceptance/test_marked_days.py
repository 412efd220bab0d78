"""What the page knows of days that are not as the source has them, and of the last nights."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from prices import fill
from programs import page_chart, page_data, run
from refreshing import FEW, enable
from sqlalchemy import Engine
from statements import address, execute

DAILY = "run_daily_refresh.py"
SOURCE = "cmc_price_histories7"


def number(day: str) -> int:
    """The days since 1970."""
    return (date.fromisoformat(day) - date(1970, 1, 1)).days


def test_marks_and_nights(engine: Engine, tmp_path: Path) -> None:
    """Missing, repaired, refused and restated days are marked with why, and each refresh is a night of the curves."""
    enable(engine, FEW, (10,))
    fill(engine, 1, "2024-01-01", "2024-03-01")
    execute(engine, f"DELETE FROM {SOURCE} WHERE timestamp::date IN ('2024-01-10', '2024-02-05', '2024-02-06')")
    execute(engine, f"UPDATE {SOURCE} SET high = 1 WHERE timestamp::date = '2024-01-20'")
    execute(engine, f"UPDATE {SOURCE} SET close = NULL WHERE timestamp::date = '2024-01-25'")
    page = tmp_path / "page.html"
    run(DAILY, "--all", url=address(engine))
    execute(engine, f"UPDATE {SOURCE} SET close = 12 WHERE timestamp::date = '2024-02-01'")
    run(DAILY, "--all", "--accept-restatement", "--html", str(page), url=address(engine))
    data = page_data(page)
    daily = page_chart(data, 1)["series"][0]
    assert daily["title"] == "1D, EMAs of 7D"
    marks = {(day, kind): why for day, kind, why in daily["marks"]}
    assert marks[number("2024-01-11"), "missing"] == "the day before this bar has none"
    assert marks[number("2024-02-07"), "missing"] == "2 days before this bar have none"
    assert marks[number("2024-01-20"), "repaired"].startswith("repaired high")
    assert marks[number("2024-01-25"), "refused"] == "refused: null_ohlc"
    assert marks[number("2024-02-01"), "restated"].endswith("2024-02-01 to 2024-02-01")
    assert len(daily["volume"]) == len(daily["days"]) == 57
    assert [night["exit_code"] for night in data["nights"]] == [0, 0]
    assert [night["failed"] for night in data["nights"]] == [0, 0]
    assert all(night["bytes"] > 1_000_000 for night in data["nights"])
    assert data["nights"][0]["rows"] > data["nights"][1]["rows"] > 0
    assert "volume" not in page_chart(data, 1)["series"][1]
