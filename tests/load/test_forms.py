"""Price files in the forms that users have, loaded by one program, beside what other readers of CSV say of them."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine, text

from refresh.store.database import connect

_CHECKOUT = Path(__file__).resolve().parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]
Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Form:
    """A file and the rows that are right: day, open, high, low, close, volume, market cap.

    ``unused``: its other titles. ``arguments``: the options that it needs.
    """

    text: str
    rows: list[Row]
    unused: str = ""
    arguments: tuple[str, ...] = field(default=())


def of(day: str, *numbers: float) -> Row:
    """A row of a day, completed by NULLs."""
    return (day, *numbers, *[None] * (6 - len(numbers)))


FORMS = {
    "address before the header": Form(
        text="https://www.example.com/data\n\nDate,Open,High,Low,Close\n2024-01-02,1,2,0.5,1.5\n",
        rows=[of("2024-01-02", 1, 2, 0.5, 1.5)],
    ),
    "comment before the header": Form(
        text="# downloaded 2024-01-05\nDate,Open,High,Low,Close\n2024-01-02,1,2,0.5,1.5\n",
        rows=[of("2024-01-02", 1, 2, 0.5, 1.5)],
    ),
    "Alpha Vantage": Form(
        text="date,1. open,2. high,3. low,4. close,5. volume\n2025-05-16,212.36,212.57,209.77,211.26,54737850.0\n",
        rows=[of("2025-05-16", 212.36, 212.57, 209.77, 211.26, 54737850)],
    ),
    "Binance with titles": Form(
        text="open_time,open,high,low,close,volume,close_time,quote_volume,ignore\n"
        "1735603200000,92792.05,96250.00,92033.73,93576.00,19612.03,1735689599999,1849471843.4,0\n"
        "1735689600000000,93576.00,95151.15,92888.00,94591.79,10373.33,1735775999999999,975444850.1,0\n",
        rows=[
            of("2024-12-31", 92792.05, 96250, 92033.73, 93576, 19612.03),
            of("2025-01-01", 93576, 95151.15, 92888, 94591.79, 10373.33),
        ],
        unused="quote_volume, ignore",
    ),
    "CoinMarketCap's page": Form(
        text="Date,Open*,High,Low,Close**,Volume,Market Cap\n"
        '"Jul 28, 2019",9491.63,9575.55,9252.3,9552.86,13738687093,1.70462E+11\n',
        rows=[of("2019-07-28", 9491.63, 9575.55, 9252.3, 9552.86, 13738687093, 170462000000)],
    ),
    "month names and grouped thousands": Form(
        text="Date,Open,High,Low,Close,Volume,Market Cap\n"
        '"Jul 28, 2019","9,491.63","9,575.55","9,252.30","9,552.86","13,738,687,093","170,462,000,000"\n',
        rows=[of("2019-07-28", 9491.63, 9575.55, 9252.3, 9552.86, 13738687093, 170462000000)],
    ),
    "Databento": Form(
        text="ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol\n"
        "2018-05-01T00:00:00.000000000Z,35,1,1,10,11,9,10.5,100,ESM8\n",
        rows=[of("2018-05-01", 10, 11, 9, 10.5, 100)],
        unused="rtype, publisher_id, instrument_id",
    ),
    "day, name of the month, two digits of the year": Form(
        text="Date,Open,High,Low,Close,Volume\n01-Apr-10,48.1,48.7,47.79,48.16,100\n05-Apr-99,1,2,1,1,1\n",
        rows=[of("1999-04-05", 1, 2, 1, 1, 1), of("2010-04-01", 48.1, 48.7, 47.79, 48.16, 100)],
    ),
    "decimal commas, points in the volume": Form(
        text="Date;Open;High;Low;Close;Volume\n10.09.2008;7,79;8,20;6,10;7,25;1.234\n11.09.2008;6,40;6,99;4,20;4,22;2.000\n",
        rows=[of("2008-09-10", 7.79, 8.2, 6.1, 7.25, 1234), of("2008-09-11", 6.4, 6.99, 4.2, 4.22, 2000)],
    ),
    "Investing.com in German": Form(
        text='"Datum","Zuletzt","Er\u00f6ffn.","Hoch","Tief","Vol.","+/- %"\n'
        '"17.08.2023","28.420,3","28.726,1","28.771,8","28.371,7","57,32K","-1,07%"\n',
        rows=[of("2023-08-17", 28726.1, 28771.8, 28371.7, 28420.3, 57320)],
        unused="+/- %",
    ),
    "Investing.com in Spanish": Form(
        text='"Fecha","\u00daltimo","Apertura","M\u00e1ximo","M\u00ednimo","Vol.","% var."\n'
        '"17.08.2023","28.420,3","28.726,1","28.771,8","28.371,7","1,5M","-1,07%"\n',
        rows=[of("2023-08-17", 28726.1, 28771.8, 28371.7, 28420.3, 1500000)],
        unused="% var.",
    ),
    "Investing.com in English": Form(
        text='\ufeff"Date","Price","Open","High","Low","Vol.","Change %"\n'
        '"08/17/2023","28,420.3","28,726.1","28,771.8","28,371.7","57.32K","-1.07%"\n',
        rows=[of("2023-08-17", 28726.1, 28771.8, 28371.7, 28420.3, 57320)],
        unused="Change %",
    ),
    "sep= of a spreadsheet": Form(
        text="sep=;\nDate;Open;High;Low;Close;Volume\n2024-01-02;1;2;0,5;1,5;10\n",
        rows=[of("2024-01-02", 1, 2, 0.5, 1.5, 10)],
    ),
    "the exchange's midnight": Form(
        text="Date,Open,High,Low,Close,Volume\n2023-03-13 00:00:00+09:00,10,11,9,10.5,100\n",
        rows=[of("2023-03-13", 10, 11, 9, 10.5, 100)],
    ),
    "dates and clocks in two columns": Form(
        text="Date,Time,Open,High,Low,Close\n04/29/2024,16:00,10,11,9,10.5\n04/30/2024,13:00:00,10,11,9,10.5\n",
        rows=[of("2024-04-29", 10, 11, 9, 10.5), of("2024-04-30", 10, 11, 9, 10.5)],
    ),
    "Nasdaq": Form(
        text="Date,Close/Last,Volume,Open,High,Low\n05/13/2025,$438.73,15324230,$440.00,$440.74,$435.88\n",
        rows=[of("2025-05-13", 440, 440.74, 435.88, 438.73, 15324230)],
    ),
    "Stooq's bulk files": Form(
        text="<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
        "XYZ.US,D,20100104,000000,7.62,7.66,7.58,7.64,493729600,0\n",
        rows=[of("2010-01-04", 7.62, 7.66, 7.58, 7.64, 493729600)],
        unused="<PER>, <OPENINT>",
    ),
    "Stooq's page": Form(
        text="Date,Open,High,Low,Close,Volume\n20100104,7.62,7.66,7.58,7.64,493729600\n",
        rows=[of("2010-01-04", 7.62, 7.66, 7.58, 7.64, 493729600)],
    ),
    "thousands after spaces": Form(
        text="Date;Open;High;Low;Close;Volume\n02.01.2024;1 234,50;1\u00a0240,00;1\u202f230,00;1 236,10;12 500\n",
        rows=[of("2024-01-02", 1234.5, 1240, 1230, 1236.1, 12500)],
    ),
    "Tiingo": Form(
        text="date,close,high,low,open,volume,adjClose,divCash\n2020-08-28,499.3,501.56,498.52,500.74,2635860,124.8,0.0\n",
        rows=[of("2020-08-28", 500.74, 501.56, 498.52, 499.3, 2635860)],
        unused="adjClose, divCash",
    ),
    "Quandl": Form(
        text="Date,Open,High,Low,Last,Close,Total Trade Quantity,Turnover (Lacs)\n"
        "2018-10-23,221.1,222.2,214.75,218.5,218.3,2771270,6058.69\n",
        rows=[of("2018-10-23", 221.1, 222.2, 214.75, 218.3, 2771270)],
        unused="Last, Turnover (Lacs)",
    ),
    "separators that end lines": Form(
        text="Date,Open,High,Low,Close,Volume\n2024-01-02,1,2,0.5,1.5,10,\n2024-01-03,1,2,0.5,1.6,10,\n",
        rows=[of("2024-01-02", 1, 2, 0.5, 1.5, 10), of("2024-01-03", 1, 2, 0.5, 1.6, 10)],
    ),
    "an index without a title": Form(
        text=",Open,High,Low,Close,Volume\n2004-08-19,100,104.06,95.96,100.34,22351900\n",
        rows=[of("2004-08-19", 100, 104.06, 95.96, 100.34, 22351900)],
    ),
    "volumes of two currencies": Form(
        text="date,symbol,open,high,low,close,Volume BTC,Volume USD\n"
        "2019-10-16,BTCUSD,8162.44,8171.59,7908.86,7993.54,8123.72,65132771.81\n",
        rows=[of("2019-10-16", 8162.44, 8171.59, 7908.86, 7993.54, 65132771.81)],
        unused="Volume BTC",
    ),
    "a volume of one currency": Form(
        text="date,open,high,low,close,Volume (ETH)\n2019-10-16,2,3,1,2,8123.72\n",
        rows=[of("2019-10-16", 2, 3, 1, 2, 8123.72)],
    ),
    "units behind titles": Form(
        text="timestamp,1a. open (USD),high (USD),low (USD),close (USD),volume,market cap (USD)\n"
        "2018-10-23,2,3,1,2,5,9\n",
        rows=[of("2018-10-23", 2, 3, 1, 2, 5, 9)],
    ),
    "letters": Form(
        text="v,o,c,h,l,t,n\n5,2,2,3,1,1540252800000,7\n",
        rows=[of("2018-10-23", 2, 3, 1, 2, 5)],
        unused="n",
    ),
    "market cap": Form(
        text="Date,Open,High,Low,Close,Volume USD,Mkt Cap\n2018-10-23,221.1,222.2,214.75,218.3,2771270,6058.69\n",
        rows=[of("2018-10-23", 221.1, 222.2, 214.75, 218.3, 2771270, 6058.69)],
    ),
    "three lines of titles": Form(
        text="Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,\n"
        "2024-12-30,252.20,253.50,250.75,252.23,35557500\n",
        rows=[of("2024-12-30", 252.23, 253.5, 250.75, 252.2, 35557500)],
    ),
    "grouped as in India": Form(
        text='Date,OPEN,HIGH,LOW,close,VOLUME\n23-Oct-2018,"1,221.10","1,222.20","1,214.75","1,218.30","1,70,46,200"\n',
        rows=[of("2018-10-23", 1221.1, 1222.2, 1214.75, 1218.3, 17046200)],
    ),
    "an order that is typed": Form(
        text="date,open,high,low,close\n04/05/2024,1,2,0.5,1.5\n",
        rows=[of("2024-05-04", 1, 2, 0.5, 1.5)],
        arguments=("--dates", "dmy"),
    ),
    "a decimal sign that is typed": Form(
        text="date;open;high;low;close\n2024-05-04;1.234;2.345;1.111;2.000\n",
        rows=[of("2024-05-04", 1234, 2345, 1111, 2000)],
        arguments=("--decimal", ","),
    ),
    "one of several symbols": Form(
        text="date,open,high,low,close,Name\n2013-02-08,15,16,14,15,AAL\n2013-02-08,67,68,66,67,AAPL\n",
        rows=[of("2013-02-08", 67, 68, 66, 67)],
        arguments=("--symbol", "aapl"),
    ),
    "one of several values of a column": Form(
        text="date,open,high,low,close,issuer\n2013-02-08,15,16,14,15,AAL\n2013-02-08,67,68,66,67,AAPL\n",
        rows=[of("2013-02-08", 67, 68, 66, 67)],
        arguments=("--symbol", "issuer=AAPL"),
        unused="issuer",
    ),
}

REFUSED = {
    "no titles": ("1735603200000,9,9,9,9\n1735689600000,9,9,9,9\n", "has no header; put a line with the titles"),
    "days of a spreadsheet": (
        "Date,Open,High,Low,Close\n45293,1,2,0.5,1.5\n45294,1,2,0.5,1.6\n45295,1,2,0.5,1.6\n", "write 2024-01-31",
    ),
    "early seconds": (
        "timestamp,open,high,low,close\n86399,1,2,0.5,1.5\n-86400,1,2,0.5,1.4\n99999999,1,2,0.5,1.6\n100000000,1,2,1,1\n",
        "most of its times cannot be read: line 2: 86399: not a time; seconds since 1970",
    ),
    "assets told apart by name": (
        "date,open,high,low,close,volume,Name\n2013-02-08,15,16,14,15,8,AAL\n2013-02-08,67,68,66,67,1,AAPL\n",
        "it contains several assets, told apart by Name (AAL, AAPL), and no id column; name each in a manifest",
    ),
    "assets told apart by tic": (
        "date,open,high,low,close,tic,day\n2009-01-02,3,4,3,3,AAPL,4\n2009-01-02,58,59,57,44,AMGN,4\n",
        "told apart by tic (AAPL, AMGN)",
    ),
    "assets told apart by a title that nobody knows": (
        "date,open,high,low,close,issuer\n"
        + "".join(f"2009-01-{day:02},3,9,1,2,Ay\n2009-01-{day:02},5,9,1,2,Bee\n" for day in range(1, 5)),
        "told apart by issuer (Ay, Bee)",
    ),
    "days that contradict each other": (
        "date,open,high,low,close\n" + "".join(f"2009-01-{day:02},{n},9,1,2\n" for day in range(1, 5) for n in (3, 5)),
        "4 of its 4 days have several lines with different prices",
    ),
    "assets side by side": (
        "Price,Close,High,Low,Open\nTicker,AAPL,MSFT,AAPL,MSFT\nDate,,,,\n2024-12-30,1,2,1,1\n", "side by side",
    ),
    "prices in two currencies": (
        ("date,open (CNY),high (CNY),low (CNY),close (CNY),open (USD),high (USD),low (USD),close (USD)\n"
        "2018-10-23,2,3,1,2,5,9,4,6\n"),
        "its header lacks open, high, low, close",
    ),
    "an open decimal sign": (
        "date;open;high;low;close\n2024-05-04;1.234;2.345;1.111;2.000\n",
        "is 1.234 or 1234; say which sign begins decimals: --decimal . or --decimal ,",
    ),
    "an open order": (
        "date,open,high,low,close\n04/05/2024,1,2,0.5,1.5\n", "is 2024-05-04 or 2024-04-05; use --dates dmy",
    ),
}  # fmt: skip


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on the program's database."""
    with connect(database_url) as engine:
        yield engine


@pytest.fixture
def run(database_url: str, tmp_path: Path) -> Run:
    """Load files of the empty folder in which the program runs."""

    def start(*arguments: str, **streams: Any) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "PYTHONPATH": str(_CHECKOUT), "TARGET_DB_URL": database_url}
        command = [sys.executable, "-m", "refresh.load", *arguments]
        finished = subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, **streams
        )
        assert "Traceback" not in finished.stderr
        return finished

    return start


def stored(engine: Engine) -> dict[int, list[Row]]:
    """The rows of each asset: day, prices, volume, market cap."""
    query = """SELECT id, ("timestamp" AT TIME ZONE 'UTC')::date::text, open, high, low, close, volume, marketcap
               FROM cmc_price_histories7 ORDER BY id, "timestamp\""""
    rows: dict[int, list[Row]] = {}
    with engine.connect() as connection:
        for id, *row in connection.execute(text(query)):
            rows.setdefault(id, []).append(tuple(row))
    return rows


def test_every_form(run: Run, engine: Engine, tmp_path: Path) -> None:
    """Every form is read as it is meant, and what is not used of it is named in one line."""
    plain = {id: form for id, form in enumerate(FORMS.values(), 1) if not form.arguments}
    lines = ["file,id"]
    for id, form in plain.items():
        (tmp_path / f"{id}.csv").write_text(form.text, "utf-8")
        lines.append(f"{id}.csv,{id}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    finished = run(*(f"{id}.csv" for id in plain))
    assert finished.returncode == 0, finished.stderr
    for id, form in plain.items():
        notice = f"{id}.csv: notice: columns not used: {form.unused}"
        assert (notice in finished.stderr.splitlines()) == bool(form.unused), notice
    assert stored(engine) == {id: form.rows for id, form in plain.items()}


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if form.arguments])
def test_form_with_options(run: Run, engine: Engine, tmp_path: Path, name: str) -> None:
    """What a file leaves open is read as its user says."""
    form = FORMS[name]
    (tmp_path / "x.csv").write_text(form.text, "utf-8")
    finished = run("x.csv", "--id", "7", *form.arguments)
    assert finished.returncode == 0, finished.stderr
    assert stored(engine) == {7: form.rows}


def test_refused_forms(run: Run, engine: Engine, tmp_path: Path) -> None:
    """A file that leaves something open is refused as a whole, with the way out; nothing of it is stored."""
    names = [f"{number}.csv" for number in range(len(REFUSED))]
    for name, (content, _) in zip(names, REFUSED.values(), strict=True):
        (tmp_path / name).write_text(content, "utf-8")
    finished = run(*names, "--id", "7")
    assert finished.returncode == 1
    said = {line.removeprefix("error: ").partition(":")[0]: line for line in finished.stderr.splitlines()}
    for name, (_, message) in zip(names, REFUSED.values(), strict=True):
        assert message in said[name]
    with engine.connect() as connection:
        assert connection.execute(text("SELECT to_regclass('public.cmc_price_histories7')")).scalar() is None


def test_manifest_of_symbols(run: Run, engine: Engine, tmp_path: Path) -> None:
    """A manifest maps the symbols of a file to assets; what it does not name is left out, and said."""
    lines = [
        f"2013-02-{day:02},{n},{n},{n},{n},{name}" for day in (8, 11) for n, name in ((1, "AAL"), (2, "AAPL"), (3, "A"))
    ]
    (tmp_path / "all.csv").write_text("\n".join(["date,open,high,low,close,Name", *lines]))
    (tmp_path / "other.csv").write_text("date,open,high,low,close,tic\n2013-02-08,5,5,5,5,MSFT\n")
    (tmp_path / "manifest.csv").write_text(
        "file,id,name,symbol\nall.csv,7,American,aal\nall.csv,8,Apple,AAPL\n*,9,Microsoft,MSFT\n"
    )
    finished = run("all.csv", "other.csv")
    assert finished.returncode == 0, finished.stderr
    assert "all.csv: notice: lines of 1 other asset left out: A" in finished.stderr
    with engine.connect() as connection:
        query = text("SELECT id, name, count(*), max(close) FROM cmc_price_histories7 GROUP BY id, name ORDER BY id")
        assert [tuple(row) for row in connection.execute(query)] == [
            (7, "American", 2, 1), (8, "Apple", 2, 2), (9, "Microsoft", 1, 5),
        ]  # fmt: skip
        query = text("SELECT id, symbol, name, calendar FROM dim_asset ORDER BY id")
        assert [tuple(row) for row in connection.execute(query)] == [
            (7, "aal", "American", "auto"), (8, "AAPL", "Apple", "auto"), (9, "MSFT", "Microsoft", "auto"),
        ]  # fmt: skip


READ_BY_ALL = [name for name, form in FORMS.items() if name in {
    "Alpha Vantage", "Stooq's page", "Tiingo", "Quandl", "market cap", "a volume of one currency",
}]  # fmt: skip


@pytest.mark.parametrize("name", READ_BY_ALL)
def test_other_readers_agree(run: Run, engine: Engine, tmp_path: Path, name: str) -> None:
    """Prices are those that pandas and DuckDB read from the same file."""
    path = tmp_path / "x.csv"
    path.write_text(FORMS[name].text, "utf-8")
    assert run("x.csv", "--id", "7").returncode == 0
    with engine.connect() as connection:
        ours: Any = connection.execute(text("SELECT open, high, low, close FROM cmc_price_histories7")).all()
    frame = pd.read_csv(io.StringIO(FORMS[name].text))
    frame.columns = [title.lower().removeprefix(f"{place}. ") for place, title in enumerate(frame.columns)]
    table = duckdb.read_csv(str(path), header=True).df()
    table.columns = frame.columns
    for read in (frame, table):
        np.testing.assert_array_equal(np.array(ours), read[["open", "high", "low", "close"]].to_numpy())


def test_dry_run(run: Run, engine: Engine, tmp_path: Path) -> None:
    """A dry run shows how each column is read, with three lines, and creates nothing."""
    lines = [f"{day:02}.02.2024;1.234,5;2.000,0;1;1.500,25;7" for day in range(1, 6)]
    (tmp_path / "x.csv").write_text("\n".join(["Date;Open;High;Low;Close;Stars", *lines]))
    finished = run("x.csv", "--id", "7", "--dry-run", "--tz", "Asia/Tokyo")
    assert finished.returncode == 0
    assert finished.stdout.splitlines() == [
        "x.csv: header in line 1, separated by ';', decimals after ',', dates dmy, days in Asia/Tokyo",
        "  column     title      line 2                   line 3                   line 4",
        "  id         (follows)  7                        7                        7",
        "  timestamp  Date       2024-02-01T14:59:59.999  2024-02-02T14:59:59.999  2024-02-03T14:59:59.999",
        "  timeopen   (follows)  2024-01-31T15:00:00.000  2024-02-01T15:00:00.000  2024-02-02T15:00:00.000",
        "  timeclose  (follows)  2024-02-01T14:59:59.999  2024-02-02T14:59:59.999  2024-02-03T14:59:59.999",
        "  open       Open       1234.5                   1234.5                   1234.5",
        "  high       High       2000                     2000                     2000",
        "  low        Low        1                        1                        1",
        "  close      Close      1500.25                  1500.25                  1500.25",
        "x.csv: not used: Stars",
        "Dry run: nothing was loaded.",
    ]
    with engine.connect() as connection:
        assert connection.execute(text("SELECT to_regclass('public.cmc_price_histories7')")).scalar() is None


def test_standard_input(run: Run, engine: Engine) -> None:
    """A file may come from standard input, packed or not."""
    finished = run("-", "--id", "7", input="date,open,high,low,close\n2024-01-02,1,2,0.5,1.5\n")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-1] == "total: 1 file: 1 row of asset 7: 1 inserted, 0 changed, 0 unchanged"
    assert run("-", input="date,open,high,low,close\n").stderr.endswith("says which asset it is of; use --id N\n")
    assert stored(engine) == {7: [of("2024-01-02", 1, 2, 0.5, 1.5)]}


def test_titles_of_windows(run: Run, engine: Engine, tmp_path: Path) -> None:
    """A file that is not UTF-8, as spreadsheets write it, is read by its titles all the same."""
    (tmp_path / "x.csv").write_bytes(
        "Datum;Er\u00f6ffnung;Hoch;Tief;Schluss\n02.01.2024;1,5;2;1;1,5\n".encode("cp1252")
    )
    assert run("x.csv", "--id", "7").returncode == 0
    assert stored(engine) == {7: [of("2024-01-02", 1.5, 2, 1, 1.5)]}


def test_zone_is_remembered(run: Run, tmp_path: Path) -> None:
    """The zone of the first load is that of the tables; another one is refused, and none means that one."""
    (tmp_path / "x.csv").write_text("date,open,high,low,close\n2024-01-05,1,2,0.5,1.5\n")
    assert run("x.csv", "--id", "7", "--tz", "Asia/Tokyo").returncode == 0
    assert run("x.csv", "--id", "7").stdout.endswith("0 inserted, 0 changed, 1 unchanged\n")
    other = run("x.csv", "--id", "7", "--tz", "Europe/Berlin")
    assert other.returncode == 3
    assert "--tz Europe/Berlin: the tables were built with Asia/Tokyo" in other.stderr
