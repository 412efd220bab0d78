"""How large one machine can get: ``python -m bench.sizing``, or with ``--measure`` what a row costs here.

Everything follows from the declared timeframes and periods and from ``COSTS``. What no machine was asked for is a
product of them: nothing of the table was run.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from bench.costs import measure
from bench.machine import first_line, machine
from bench.server import Bench
from refresh.catalog import legs
from refresh.core.timeframe import DEFAULT_PERIODS, DEFAULT_TIMEFRAMES, Timeframe, Unit
from refresh.families import Alignment

COSTS: Mapping[str, float] = {
    "rebuild cpu of a row": 4.233e-06,
    "rebuild wal of a row": 107.5,
    "bytes of a daily bar": 255.9,
    "bytes of a bar": 248.9,
    "bytes of an average": 47.74,
    "bytes of a source row": 190.9,
    "bytes of a state": 327.1,
    "states of an asset": 151,
    "bytes of an outcome": 443,
    "night cpu of a row": 1.394e-05,
    "night cpu of an asset": 0.005142,
    "night wal of a row": 804.5,
    "night wal of an asset": 4.067e04,
    "survey cpu of a source row": 1.3e-06,
}
"""Bytes, seconds of CPU (programs and server together) and numbers.

What ``--measure`` printed on two cores of a shared machine, 25.3 GB, Linux 6.18, Python 3.11, PostgreSQL 18.4.
"""
ASSETS, YEARS, TIMEFRAMES = (100, 1_000, 10_000, 100_000), (1, 5, 10, 20), (39, 120)
NIGHTS_KEPT, BUILDERS = 100, 10
"""The nights whose outcomes are kept, and the outcomes of an asset in a night."""
FIXED_SECONDS = 1.4
"""A run with nothing to do: docs/performance.md."""
SURVEY_SECONDS_PER_ASSET = 0.0053
"""One session after the other, however many cores there are: what ``bench.simulation`` measured on a busy machine."""
SURVEY_BASE_MB, SURVEY_KB_PER_ASSET = 85.0, 2.3
"""The memory of the orchestrator with a new day of every asset: what ``bench.simulation`` measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What a machine has, and how long a night and a rebuild may take."""

    cores: int = 8
    memory_gb: float = 64
    disk_gb: float = 4_000
    written_mb_per_second: float = 200
    night_hours: float = 1
    rebuild_hours: float = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """What a database needs: rows, bytes, bytes of WAL and seconds of a night, seconds of a rebuild."""

    rows: float
    disk_gb: float
    night_wal_gb: float
    night_seconds: float
    rebuild_seconds: float
    memory_gb: float

    def shares(self, machine: Machine) -> dict[str, float]:
        """What share of the machine each of them is."""
        return {
            "disk": self.disk_gb / machine.disk_gb,
            "time of a night": self.night_seconds / 3600 / machine.night_hours,
            "WAL of a night": self.night_wal_gb * 1e3 / machine.written_mb_per_second / 3600 / machine.night_hours,
            "time of a rebuild": self.rebuild_seconds / 3600 / machine.rebuild_hours,
            "memory": self.memory_gb / machine.memory_gb,
        }


def timeframes(number: int) -> list[Timeframe]:
    """The default timeframes, and as many rolling ones of days as are lacking."""
    chosen = list(DEFAULT_TIMEFRAMES)
    known = {timeframe.tf for timeframe in chosen}
    days = (Timeframe(quantity=days, unit=Unit.DAY, alignment=Alignment.ROLLING, scheme=None) for days in range(2, 400))
    others = [timeframe for timeframe in days if timeframe.tf not in known]
    return chosen + others[: number - len(chosen)]


def rows(days: int, chosen: Sequence[Timeframe]) -> tuple[int, int]:
    """The bars over several days and the averages of one asset. An average begins with the last of its first bars."""
    bars = averages = 0
    for _, leg in legs():
        lengths = [timeframe.days_nominal for timeframe in chosen if leg.family and timeframe.belongs_to(leg.family)]
        if leg.averages:
            for length, period in product(lengths, DEFAULT_PERIODS):
                averages += max(days - length * period + 1, 0)
        else:
            bars += days * len(lengths)
    return bars, averages


def need(assets: int, years: int, number: int, machine: Machine) -> Need:
    """What a database needs of a machine."""
    days, chosen, cost = round(365.25 * years), timeframes(number), COSTS
    bars, averages = rows(days, chosen)
    before, of_average = rows(days - 1, chosen)
    of_night = 1 + bars - before + averages - of_average
    states = cost["states of an asset"] * number / TIMEFRAMES[0]
    of_asset = (
        days * (cost["bytes of a source row"] + cost["bytes of a daily bar"])
        + bars * cost["bytes of a bar"]
        + averages * cost["bytes of an average"]
        + states * cost["bytes of a state"]
        + NIGHTS_KEPT * BUILDERS * cost["bytes of an outcome"]
    )
    built = assets * (days + bars + averages)
    wal = assets * (cost["night wal of an asset"] + of_night * cost["night wal of a row"])
    cpu = assets * (cost["night cpu of an asset"] + of_night * cost["night cpu of a row"])
    cpu += assets * days * cost["survey cpu of a source row"]
    rebuilding = built * cost["rebuild cpu of a row"] / machine.cores
    writing = built * cost["rebuild wal of a row"] / 1e6 / machine.written_mb_per_second
    return Need(
        rows=built,
        disk_gb=assets * of_asset / 1e9,
        night_wal_gb=wal / 1e9,
        night_seconds=FIXED_SECONDS + assets * SURVEY_SECONDS_PER_ASSET + cpu / machine.cores,
        rebuild_seconds=max(rebuilding, writing),
        memory_gb=(SURVEY_BASE_MB + assets * SURVEY_KB_PER_ASSET / 1e3) / 1e3,
    )


def table(machine: Machine) -> Iterator[str]:
    """The lines of the table in Markdown."""
    yield "| assets | years | timeframes | rows | on disk | a night | its WAL | a rebuild | first bottleneck |"
    yield "|---:|---:|---:|---:|---:|---:|---:|---:|---|"
    for assets, years, number in product(ASSETS, YEARS, TIMEFRAMES):
        of = need(assets, years, number, machine)
        shares = of.shares(machine)
        first = max(shares, key=shares.__getitem__)
        verb = "**beyond**" if shares[first] > 1 else "within"
        cells = [
            f"{assets:,}", str(years), str(number), _millions(of.rows), _gigabytes(of.disk_gb), _span(of.night_seconds),
            _gigabytes(of.night_wal_gb), _span(of.rebuild_seconds), f"{verb}: {first}, {shares[first]:.0%}",
        ]  # fmt: skip
        yield f"| {' | '.join(cells)} |"


def _millions(number: float) -> str:
    return _largest(number, {" bn": 1e9, " m": 1e6})


def _gigabytes(number: float) -> str:
    return _largest(number, {" TB": 1e3, " GB": 1.0, " MB": 1e-3})


def _span(seconds: float) -> str:
    return _largest(seconds, {" h": 3600.0, " min": 60.0, " s": 1.0})


def _largest(number: float, units: Mapping[str, float]) -> str:
    """A number in the largest of some units of which it is at least one, or in the last."""
    fitting = [unit for unit, size in units.items() if number >= size] or list(units)[-1:]
    return f"{number / units[fitting[0]]:,.1f}{fitting[0]}"


def main() -> None:
    """Print the table, or measure what it is computed from."""
    parser = argparse.ArgumentParser(prog="python -m bench.sizing", description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure the costs anew, and print them")
    if not parser.parse_args().measure:
        print(*table(Machine()), sep="\n")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with Bench() as bench:
        print(first_line(machine(bench.engine)), end="\n\n", flush=True)
        for name, value in measure(bench):
            print(f'    "{name}": {value:.4g},', flush=True)


if __name__ == "__main__":
    main()
