"""Files of any size, width and kind: what is read of them, how much memory that takes, and what is said."""

from __future__ import annotations

import gzip
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from refresh.load.titles import places

_CHECKOUT = Path(__file__).resolve().parents[2]
HEADER = "date,open,high,low,close,name\n"
MEGABYTES = 1 << 20

_MEASURED = """
import os, pathlib, sys
from refresh.load.__main__ import main
code = main(sys.argv[1:], os.environ)
status = pathlib.Path("/proc/self/status").read_text().splitlines()
peak = int(next(line for line in status if line.startswith("VmHWM")).split()[1]) // 1024
print(f"peak {peak}", file=sys.stderr)
sys.exit(code)
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks of memory are read from /proc")

Load = Callable[..., tuple[int, list[str], int]]


@pytest.fixture
def load(database_url: str, tmp_path: Path) -> Load:
    """Load a file for asset 7. Returns the exit code, the lines of standard error, and the peak memory in MiB."""

    def start(name: str, *arguments: str) -> tuple[int, list[str], int]:
        environ = {**os.environ, "PYTHONPATH": str(_CHECKOUT), "TARGET_DB_URL": database_url}
        command = [sys.executable, "-c", _MEASURED, name, "--id", "7", *arguments]
        finished = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
        *lines, peak = finished.stderr.splitlines()
        return finished.returncode, lines, int(peak.removeprefix("peak "))

    return start


def test_name_of_megabytes(load: Load, tmp_path: Path) -> None:
    """A cell of ten megabytes spoils its line and no other, and takes no more memory than a line may."""
    lines = [f"2024-01-{day:02},1,2,0.5,1.5,Ay\n" for day in range(1, 20)]
    lines[4] = f"2024-01-05,1,2,0.5,1.5,{'x' * 10 * MEGABYTES}\n"
    (tmp_path / "x.csv").write_text(HEADER + "".join(lines))
    code, said, peak = load("x.csv")
    assert (code, len(said)) == (1, 1)
    assert said[0].startswith("x.csv:6: line: 2024-01-05,1,2,0.5,1.5,xxx")
    assert said[0].endswith("longer than 1,048,576 bytes")
    assert peak < 150


LONG = 200_000
LONG_CELLS = {
    "digits": "1" * LONG + "kk",
    "decimals": "1." + "1" * LONG + "x",
    "exponent": "1e" + "9" * LONG + "x",
    "thousands": "1" + ",111" * (LONG // 4) + "x",
    "points": "1" + ".111" * (LONG // 4) + "x",
    "spaces": "1" + "\u00a0111" * (LONG // 4) + "x",
    "signs": "$ " * (LONG // 2),
    "a day and spaces": "2024-01-01" + " " * LONG + "x",
    "the end of a month": "1 jan" + "a" * LONG + "!",
    "the end of a weekday": "mon" + "y" * LONG + ", 1",
    "a fraction of a second": "2024-01-01T00:00:00." + "1" * LONG + "x",
}


def test_time_for_long_cells(load: Load, tmp_path: Path) -> None:
    """The time for a cell grows with its length and no faster: cells that are hard to read spoil their lines."""
    good = "".join(f"20{year}-01-{day:02};1;2;0.5;1.5\n" for year in range(20, 24) for day in range(1, 20))
    bad = "".join(f"{cell};1;2;0.5;1.5\n2024-02-01;1;2;0.5;{cell}\n" for cell in LONG_CELLS.values())
    (tmp_path / "x.csv").write_text("date;open;high;low;close\n" + good + bad)
    started = time.monotonic()
    code, said, _ = load("x.csv", "--decimal", ".")
    assert code == 1
    assert "2 more" in said[-1]  # than the twenty that are listed
    assert time.monotonic() - started < 30.0


@pytest.mark.parametrize(
    "titles", ["(" * LONG, "1" * LONG, "(x)" * (LONG // 3), ";" * LONG, "a;" * (LONG // 2), "vol" + " " * LONG + "x"],
    ids=["open brackets", "digits", "brackets", "columns without a title", "columns of one title", "spaces"],
)  # fmt: skip
def test_time_for_long_titles(titles: str) -> None:
    """So it is with titles, long ones or many."""
    started = time.process_time()
    found = places(["date", "open", "high", "low", "close", *titles.split(";")])
    assert set(found.indexes) >= {"timestamp", "open", "high", "low", "close"}
    assert time.process_time() - started < 10.0


def test_packed_file_without_lines(load: Load, tmp_path: Path) -> None:
    """A packed file that unpacks to gigabytes of nothing is refused before it is in memory."""
    with gzip.open(tmp_path / "x.csv.gz", "wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(bytes(MEGABYTES))
    code, said, peak = load("x.csv.gz")
    assert (code, said) == (
        1, ["error: x.csv.gz: has a line of more than 67,108,864 bytes: this is no text of prices"],
    )  # fmt: skip
    assert peak < 150


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/urandom"])
def test_device(load: Load, device: str) -> None:
    """A device is no file of prices."""
    code, said, _ = load(device)
    assert (code, said) == (1, [f"error: {device}: cannot be read: it is a device"])


def test_memory_of_many_lines(load: Load, tmp_path: Path) -> None:
    """Memory does not grow with the number of lines."""
    days = [f"{10**9 + 86_400 * day},1,2,0.5,1.5\n" for day in range(200)]
    peaks = []
    for copies in (5, 500):
        (tmp_path / "x.csv").write_text(HEADER.replace(",name", "") + "".join(days * copies))
        code, _, peak = load("x.csv")
        assert code == 0
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 20


def test_progress_on_a_terminal(database_url: str, tmp_path: Path) -> None:
    """A load that takes long says on a terminal how many rows and bytes are read, and how long it still takes."""
    pipe = tmp_path / "x.csv"
    os.mkfifo(pipe)
    line = b"2024-01-02,1,2,0.5,1.5\n"
    environ = {**os.environ, "PYTHONPATH": str(_CHECKOUT), "TARGET_DB_URL": database_url}
    patient = (
        "import refresh.load.progress as p, runpy, sys; p._SECONDS = {True: 0.0, False: 0.0}; "
        "sys.argv[0] = 'x'; runpy.run_module('refresh.load', run_name='__main__')"
    )
    master, slave = pty.openpty()
    command = [sys.executable, "-c", patient, "x.csv", "--id", "7"]
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=subprocess.DEVNULL, stderr=slave):
        os.close(slave)
        with pipe.open("wb") as writer:
            writer.write(b"date,open,high,low,close\n" + line * 50_000)
        said = _all(master)
    assert "x.csv: 2,000 rows, 0 of 1 MB" in said
    assert " s left to read" in said


def _all(descriptor: int) -> str:
    """Everything that is written to a terminal."""
    parts = []
    try:
        while part := os.read(descriptor, 4096):
            parts.append(part)
    except OSError:  # nobody writes any more
        pass
    os.close(descriptor)
    return b"".join(parts).decode()


def test_memory_of_long_lines(load: Load, tmp_path: Path) -> None:
    """Lines just short of the limit take no more memory than many short ones, nor does a long cell among them."""
    with (tmp_path / "x.csv").open("w", encoding="utf-8") as file:
        file.write("date,open,high,low,close,a,b,c,d,e,f,g\n")
        for day in range(1, 29):
            for month in range(1, 13):
                file.write(f"2024-{month:02}-{day:02},1,2,0.5,1.5" + f",{'x' * 120_000}" * 7 + "\n")
    code, _, peak = load("x.csv")
    assert code == 0
    assert peak < 200
    lines = [f"{2000 + year}-{month:02}-01,1,2,0.5,1.5,Ay\n" for year in range(150) for month in range(1, 13)]
    (tmp_path / "x.csv").write_text(f"{HEADER}{''.join(lines)}{'9' * 120_000},1,2,0.5,1.5,Ay\n")
    code, said, peak = load("x.csv")
    assert (code, len(said)) == (1, 1)
    assert peak < 200
