"""``python -m refresh.load`` as a user runs it: a process of its own, files on disk, a real database."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from refresh.store.database import connect

_CHECKOUT = Path(__file__).resolve().parents[2]
HEADER = "date,open,high,low,close,volume\n"
OPEN_ORDER = (
    "no date shows the order of day and month: 04/05/2024 is 2024-05-04 or 2024-04-05; use --dates dmy or --dates mdy"
)
DAY = "2024-01-01,4,5,3,4.5,100\n"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(database_url: str, tmp_path: Path) -> Run:
    """Start the program in an empty folder, with the database in its environment unless ``unset``."""

    def start(*arguments: str | Path, unset: bool = False) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "PYTHONPATH": str(_CHECKOUT), "TARGET_DB_URL": database_url}
        if unset:
            del environ["TARGET_DB_URL"]
        command = [sys.executable, "-m", "refresh.load", *map(str, arguments)]
        finished = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
        assert "Traceback" not in finished.stderr
        return finished

    return start


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on the program's database."""
    with connect(database_url) as engine:
        yield engine


def stored(engine: Engine, query: str) -> Sequence[tuple[Any, ...]]:
    """The rows of a query of the price table, which it calls prices."""
    with engine.connect() as connection:
        query = query.replace("prices", "cmc_price_histories7")
        return [tuple(row) for row in connection.execute(text(query))]


def write(folder: Path, name: str, content: str) -> Path:
    """A file in the folder."""
    path = folder / name
    path.write_text(content, "utf-8", newline="")
    return path


def test_every_export(run: Run, engine: Engine, shared_data: Path) -> None:
    """One command loads all exports, with the manifest among the files, and changes nothing the second time."""
    files = sorted((shared_data / "cmc").glob("*.csv"))
    first, second = run(*files), run(*files)
    assert (first.returncode, second.returncode) == (0, 0)
    total = "total: 10 files: 3,518 rows of 8 assets:"
    assert first.stdout.splitlines()[-1] == f"{total} 3,518 inserted, 0 changed, 0 unchanged"
    assert second.stdout.splitlines()[-1] == f"{total} 0 inserted, 0 changed, 3,518 unchanged"
    assert len(first.stdout.splitlines()) == 12
    assert first.stderr == f"{shared_data}/cmc/manifest.csv: used for the assets of the files beside it\n"
    assert stored(engine, "SELECT name, count(*) FROM prices WHERE id IN (1, 11841) GROUP BY id, name ORDER BY id") == [
        ("Bitcoin", 763), ("Arbitrum", 172),
    ]  # fmt: skip
    assert stored(engine, "SELECT count(*), count(circulatingsupply), count(DISTINCT load_ts) FROM prices") == [
        (3518, 798, 1)
    ]


def test_kaggle_file(run: Run, engine: Engine, shared_data: Path) -> None:
    """A file of the Kaggle collection is loaded with its padded columns; the second time changes nothing."""
    path = shared_data / "kaggle" / "coin_Ethereum.csv"
    assert run(path).stdout.splitlines()[1] == (
        f"{path}: 2,031 rows of asset 1027: 2,031 inserted, 0 changed, 0 unchanged"
    )
    assert run(path, "--id", "1027", "--name", "Ethereum").stdout.endswith(" 0 inserted, 0 changed, 2,031 unchanged\n")
    query = 'SELECT name, open, timehigh, timeclose::text, count(*) OVER () FROM prices ORDER BY "timestamp" LIMIT 1'
    assert stored(engine, query) == [("Ethereum", 2.793760061264038, None, "2015-08-08 23:59:59+00", 2031)]


def test_sample(run: Run, engine: Engine) -> None:
    """The sample is loaded under its own id; the second time changes nothing."""
    first, second = run("--sample"), run("--sample")
    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stdout.endswith("1,509 rows of asset 900000001: 1,509 inserted, 0 changed, 0 unchanged\n")
    assert second.stdout.endswith("0 inserted, 0 changed, 1,509 unchanged\n")
    query = 'SELECT name, open, timeopen::text, timeclose::text FROM prices ORDER BY "timestamp" LIMIT 1'
    assert stored(engine, query) == [("Apple (sample)", 38.72, "2019-01-02 00:00:00+00", "2019-01-02 23:59:59.999+00")]


def test_two_loaders_at_once(run: Run, engine: Engine, tmp_path: Path) -> None:
    """Of two loaders of the same file on an empty database, one inserts all rows and the other finds them unchanged."""
    days = "".join(DAY.replace("2024-01-01", str(1_500_000_000 + 86_400 * day)) for day in range(3000))
    write(tmp_path, "x.csv", HEADER + days)
    with ThreadPoolExecutor(2) as pool:
        loaders = list(pool.map(lambda _: run("x.csv", "--id", "7"), range(2)))
    assert sorted(loader.stdout.splitlines()[1].partition(": ")[2] for loader in loaders) == [
        "3,000 rows of asset 7: 0 inserted, 0 changed, 3,000 unchanged",
        "3,000 rows of asset 7: 3,000 inserted, 0 changed, 0 unchanged",
    ]
    assert stored(engine, "SELECT count(*) FROM prices") == [(3000,)]


def test_reader_that_leaves(database_url: str, tmp_path: Path) -> None:
    """A reader that stops reading the output is not reported as a failure."""
    write(tmp_path, "x.csv", HEADER + DAY)
    environ = {**os.environ, "PYTHONPATH": str(_CHECKOUT), "TARGET_DB_URL": database_url}
    command = f"{sys.executable} -m refresh.load x.csv x.csv --id 7 | true"
    finished = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert finished.stderr == ""


def test_bad_lines(run: Run, engine: Engine, tmp_path: Path) -> None:
    """Bad lines are reported by file, line, column, value and reason; the good ones are loaded; the exit code is 1."""
    lines = ["2024-01-02,x,5,3,4,1", "2024-01-03,1,2", ",1,1,1,1,1", "2024-01-04,null,-5,0,NA,-"]
    write(tmp_path, "x.csv", HEADER + DAY + "\n".join(lines))
    finished = run("x.csv", "--id", "7")
    assert finished.returncode == 1
    assert finished.stderr.splitlines() == [
        "x.csv:3: open: x: not a number",
        "x.csv:4: fields: 3: the header has 6",
        "x.csv:5: date: (empty): is missing",
    ]
    summary = finished.stdout.splitlines()[1]
    assert summary == "x.csv: 2 rows of asset 7: 2 inserted, 0 changed, 0 unchanged, 3 bad lines"
    assert stored(engine, 'SELECT open, high, low, volume FROM prices ORDER BY "timestamp"') == [
        (4, 5, 3, 100), (None, -5, 0, None),
    ]  # fmt: skip


def test_many_bad_lines(run: Run, tmp_path: Path) -> None:
    """The first twenty bad lines of a file are reported, and the number of the others."""
    write(tmp_path, "x.csv", HEADER + "2024-01-01,x,1,1,1,1\n" * 5000)
    lines = run("x.csv", "--id", "7").stderr.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "x.csv: 4,980 more bad lines"


def test_lines_of_one_day(run: Run, engine: Engine, tmp_path: Path) -> None:
    """Equal lines of a day are a notice; lines that differ are bad, and none of them is loaded."""
    other = DAY.replace("2024-01-01", "2024-01-02")
    write(tmp_path, "x.csv", HEADER + DAY + DAY + other + other.replace("4.5", "4.6"))
    finished = run("x.csv", "--id", "7")
    assert finished.returncode == 1
    assert finished.stderr.splitlines() == [
        "x.csv:2: notice: line 3 has the same asset and day and is loaded instead",
        "x.csv:4: date: 2024-01-02: line 5 has other prices for the same day",
        "x.csv:5: date: 2024-01-02: line 4 has other prices for the same day",
    ]
    assert finished.stdout.splitlines()[-1].endswith(
        "1 row of asset 7: 1 inserted, 0 changed, 0 unchanged, 2 bad lines"
    )
    assert stored(engine, "SELECT close FROM prices") == [(4.5,)]


def test_files_that_cannot_be_read(run: Run, engine: Engine, tmp_path: Path) -> None:
    """Each bad file is reported in one line, the others are loaded, and the exit code is 1."""
    write(tmp_path, "good.csv", HEADER + DAY)
    write(tmp_path, "columns.csv", "date,open\n2024-01-01,1\n")
    write(tmp_path, "empty.csv", "")
    write(tmp_path, "dates.csv", HEADER + DAY.replace("2024-01-01", "04/05/2024"))
    packed = gzip.compress((HEADER + DAY * 100).encode())
    (tmp_path / "torn.csv.gz").write_bytes(packed[:-9])
    write(tmp_path, "false.csv.gz", HEADER)
    (tmp_path / "folder").mkdir()
    names = ["none.csv", "columns.csv", "empty.csv", "dates.csv", "torn.csv.gz", "false.csv.gz", "folder", "good.csv"]
    finished = run(*names, "--id", "7")
    assert finished.returncode == 1
    assert finished.stderr.splitlines() == [
        "error: none.csv: cannot be read: No such file or directory",
        "error: columns.csv: its header lacks high, low, close; line 1 is: date,open",
        "error: empty.csv: is empty",
        f"error: dates.csv: {OPEN_ORDER}",
        "error: torn.csv.gz: cannot be read: Compressed file ended before the end-of-stream marker was reached",
        "error: false.csv.gz: cannot be read: Not a gzipped file (b'da')",
        "error: folder: cannot be read: Is a directory",
    ]
    assert finished.stdout.splitlines()[-1] == (
        "total: 8 files: 1 row of asset 7: 1 inserted, 0 changed, 0 unchanged, 7 files not loaded"
    )
    assert stored(engine, "SELECT source_file FROM prices") == [("good.csv",)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bom.csv", "\ufeff" + HEADER + DAY),
        ("crlf.csv", (HEADER + DAY).replace("\n", "\r\n")),
        ("mac.csv", (HEADER + DAY).replace("\n", "\r")),
        ("unended.csv", (HEADER + DAY).rstrip()),
        ("dated.csv", HEADER + DAY.replace("2024-01-01", "01/01/2024")),
    ],
)
def test_encodings_and_line_ends(run: Run, engine: Engine, tmp_path: Path, name: str, content: str) -> None:
    """Byte order mark, line ends and dates as a spreadsheet writes them do not matter; nor does gzip."""
    write(tmp_path, name, content)
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(content.encode()))
    (tmp_path / "utf16.csv").write_bytes(content.removeprefix("\ufeff").encode("utf-16"))
    finished = run(name, "packed.csv.gz", "utf16.csv", "--id", "7", "--dates", "dmy")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.splitlines()[-1] == ("total: 3 files: 3 rows of asset 7: 1 inserted, 0 changed, 2 unchanged")
    assert stored(engine, 'SELECT "timestamp"::text, volume FROM prices') == [("2024-01-01 23:59:59.999+00", 100)]


def test_pipe(run: Run, engine: Engine, tmp_path: Path) -> None:
    """A pipe is read like a regular file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["/bin/sh", "-c", f"printf '{HEADER}{DAY}' > {pipe}"]):
        assert run(pipe, "--id", "7").returncode == 0
    assert stored(engine, "SELECT close FROM prices") == [(4.5,)]


def test_manifest(run: Run, engine: Engine, tmp_path: Path) -> None:
    """A manifest provides ids and names of files by their base names, packed or not."""
    write(tmp_path, "m.csv", "file;id;name;symbol\na.csv;7;Ay;A\nb.csv;8;;B\n")
    write(tmp_path, "a.csv", HEADER + DAY)
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress((HEADER + DAY).encode()))
    assert run("a.csv", "b.csv.gz", "--manifest", "m.csv").returncode == 0
    assert stored(engine, "SELECT id, name, source_file FROM prices ORDER BY id") == [
        (7, "Ay", "a.csv"), (8, None, "b.csv.gz"),
    ]  # fmt: skip


def test_ids_in_the_file(run: Run, engine: Engine, tmp_path: Path) -> None:
    """A file with a column of ids needs no option."""
    write(tmp_path, "x.csv", "id,name,date,open,high,low,close\n7,Ay,2024-01-01,4,5,3,4\n8,Bee,2024-01-01,4,5,3,4\n")
    finished = run("x.csv")
    assert finished.stdout.splitlines()[-1].startswith("total: 1 file: 2 rows of 2 assets: 2 inserted")
    assert stored(engine, "SELECT id, name FROM prices ORDER BY id") == [(7, "Ay"), (8, "Bee")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name one or more price files, or say --sample"),
        (["x.csv"], "x.csv: which asset? use --id N, or --manifest M with a line for it, or put a manifest.csv"),
        (["x.csv", "--manifest", "m.csv"], "x.csv: which asset?"),
        (["x.csv", "--manifest", "none.csv"], "the manifest none.csv cannot be read: No such file or directory"),
        (["x.csv", "--manifest", "x.csv"], "the manifest x.csv lacks file and id"),
        (["x.csv", "--manifest", "wrong.csv"], "wrong.csv:2: id: seven: not an asset id"),
        (["x.csv", "--manifest", "twice.csv"], "twice.csv:3: file: x.csv: an earlier line names another asset"),
        (["x.csv", "--id", "0"], "--id: 0: not an asset id, a whole number from 1 to 2147483647"),
        (["x.csv", "--name", "Ay"], "--name names the asset of --id"),
        (["x.csv", "--id", "7", "--manifest", "m.csv"], "not allowed with argument"),
        (["x.csv", "--id", "7", "--dates", "dym"], "'dym' is none of mdy, dmy, ymd"),
        (["x.csv", "--id", "7", "--decimal", ";"], "';' is neither . nor ,"),
        (["x.csv", "--id", "7", "--tz", "Mars"], "'Mars' is not a time zone name"),
        (["x.csv", "--symbol", "AAPL"], "--symbol picks the lines of the asset of --id; say --id as well"),
    ],
)
def test_usage_errors(run: Run, engine: Engine, tmp_path: Path, arguments: list[str], message: str) -> None:
    """A command line that does not fit together is refused with the reason and exit code 2, and loads nothing."""
    write(tmp_path, "x.csv", HEADER + DAY)
    write(tmp_path, "m.csv", "file,id\nother.csv,7\n")
    write(tmp_path, "wrong.csv", "file,id\nx.csv,seven\n")
    write(tmp_path, "twice.csv", "file,id\nx.csv,7\nx.csv,8\n")
    finished = run(*arguments)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert stored(engine, "SELECT to_regclass('prices')") == [(None,)]


def test_database_out_of_reach(run: Run, tmp_path: Path) -> None:
    """If no database answers, the exit code is 3 and the password is not printed."""
    write(tmp_path, "x.csv", HEADER + DAY)
    finished = run("x.csv", "--id", "7", "--db-url", "postgresql://someone:secret@127.0.0.1:1/nowhere")
    assert finished.returncode == 3
    assert "cannot connect to postgresql" in finished.stderr
    assert "secret" not in finished.stdout + finished.stderr


def test_table_without_key(run: Run, engine: Engine, tmp_path: Path) -> None:
    """A price table without a key for the upsert exits with 3 and the statement that repairs it."""
    write(tmp_path, "x.csv", HEADER + DAY)
    assert run("x.csv", "--id", "7").returncode == 0
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE cmc_price_histories7 DROP CONSTRAINT cmc_price_histories7_pkey"))
    finished = run("x.csv", "--id", "7")
    assert finished.returncode == 3
    assert finished.stderr.endswith('add it: ALTER TABLE cmc_price_histories7 ADD UNIQUE (id, "timestamp")\n')


def test_database_that_refuses(run: Run, engine: Engine, tmp_path: Path) -> None:
    """A file that the database refuses exits with 3 and the server's message; files before it stay loaded."""
    write(tmp_path, "a.csv", HEADER + DAY)
    write(tmp_path, "b.csv", HEADER + "2024-01-02,1,1,1,1,-1\n")
    run("a.csv", "--id", "7")
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE cmc_price_histories7 ADD CHECK (volume >= 0)"))
    write(tmp_path, "a.csv", HEADER + DAY.replace("4.5", "4.6"))
    finished = run("a.csv", "b.csv", "--id", "7")
    assert finished.returncode == 3
    assert finished.stderr.startswith("error: b.csv: not loaded: new row for relation")
    assert stored(engine, "SELECT close FROM prices") == [(4.6,)]


def test_database_named_in_a_file(run: Run, engine: Engine, tmp_path: Path, database_url: str) -> None:
    """The database may be named in a file; the environment has priority, and what loads says which of them named it."""
    write(tmp_path, "x.csv", HEADER + DAY)
    named = ("x.csv", "--config", "settings.env", "--id")
    write(tmp_path, "settings.env", "TARGET_DB_URL=postgresql://nobody@127.0.0.1:1/nowhere\n")
    assert run(*named, "7").stdout.splitlines()[0].endswith("(TARGET_DB_URL in the environment)")
    write(tmp_path, "settings.env", f"TARGET_DB_URL={database_url}\n")
    assert run(*named, "8", unset=True).stdout.splitlines()[0].endswith("(TARGET_DB_URL in settings.env)")
    assert stored(engine, "SELECT id FROM prices ORDER BY id") == [(7,), (8,)]
