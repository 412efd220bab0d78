"""Measure and print one table: ``python -m bench [--only NAME ...] [--scale F] [--pairs N] [--json FILE]``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import table
from bench.arguments import positive
from bench.figures import Figure
from bench.machine import first_line, machine

from bench.measures import (  # isort: skip
    build, crowd, eta, files, frames, growth, history, idle, memory, night,
    partitions, queries, reading, revision, size, spread,
)  # fmt: skip
from bench.server import Bench

Measure = Callable[[Bench], list[Figure]]
MEASURES: dict[str, Measure] = {
    "size": size.measure,
    "queries": queries.measure,
    "reading": reading.measure,
    "revision": revision.measure,
    "build": build.measure,
    "night": night.measure,
    "idle": idle.measure,
    "history": history.measure,
    "crowd": crowd.measure,
    "frames": frames.measure,
    "growth": growth.measure,
    "memory": memory.measure,
}
"""In an order in which those that need the same database are next to each other. The last one is about all before."""
EXTRA: dict[str, Measure] = {
    "eta": eta.measure,
    "files": files.measure,
    "partitions": partitions.measure,
    "spread": spread.measure,
}
"""Only on request."""


def main() -> None:
    """Measure what is asked for. What was measured before an error or a Ctrl-C is printed nevertheless."""
    arguments = _parser().parse_args()
    chosen = {name: {**MEASURES, **EXTRA}[name] for name in arguments.only or MEASURES}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # by default the server would live on
    figures: list[Figure] = []
    with Bench(scale=arguments.scale, pairs=arguments.pairs) as bench:
        about = machine(bench.engine)
        print(first_line(about), end="\n\n", flush=True)
        try:
            for name, measure in chosen.items():
                began = bench.seconds
                figures += measure(bench)
                bench.say(f"{name} took {bench.seconds - began:.0f} s")
        finally:
            document = table.document(about, figures, scale=arguments.scale, seconds=bench.seconds)
            _print(figures, document, arguments.json)


def _print(figures: Sequence[Figure], document: dict[str, object], file: Path) -> None:
    print(*table.lines(figures), sep="\n")
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"\n{table.summary(figures)}; scale {document['scale']}, {document['seconds']} s; as JSON in {file}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the refresh, and print one table.")
    names = [*MEASURES, *EXTRA]
    parser.add_argument(
        "--only", metavar="NAME", nargs="+", choices=names, help=f"measure only these: {', '.join(names)}"
    )
    parser.add_argument("--scale", type=positive, default=1.0, help="multiply the number of assets by this")
    parser.add_argument("--pairs", type=int, default=3, help="measure each side so often (default: 3)")
    parser.add_argument("--json", metavar="FILE", type=Path, default=Path("bench.json"), help="default: bench.json")
    return parser


if __name__ == "__main__":
    main()
