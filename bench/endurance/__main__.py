"""Run the parts, print one table, and exit with 1 if a limit is broken.

``python -m bench.endurance [--only NAME ...] [--scale F] [--minutes M] [--seed N] [--json FILE]``.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import table
from bench.arguments import positive
from bench.endurance import loop, nights, once, races
from bench.endurance.terms import Terms
from bench.figures import Figure
from bench.machine import first_line, machine
from bench.server import Bench
from bench.table import LIMITS

Part = Callable[[Bench, Terms], list[Figure]]
PARTS: dict[str, Part] = {
    "once": once.measure,
    "nights": nights.measure,
    "loop": loop.measure,
    "races": races.measure,
}


def main() -> None:
    """Run what is asked for. What was measured before an error or a Ctrl-C is printed nevertheless."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # by default the server would live on
    terms = Terms(seed=arguments.seed, scale=arguments.scale, minutes=arguments.minutes)
    figures: list[Figure] = []
    with Bench(scale=arguments.scale) as bench:
        about = machine(bench.engine)
        print(first_line(about), f"seed {arguments.seed}", sep="; ", end="\n\n", flush=True)
        try:
            for name in arguments.only or PARTS:
                began = bench.seconds
                figures += PARTS[name](bench, terms)
                bench.say(f"{name} took {bench.seconds - began:.0f} s")
        finally:
            document = table.document(about, figures, scale=arguments.scale, seconds=bench.seconds)
            _print(figures, {**document, "seed": arguments.seed}, arguments.json)
    sys.exit(int(any(figure.is_met is False for figure in figures)))


def _print(figures: Sequence[Figure], document: dict[str, object], file: Path) -> None:
    print(*table.lines(figures, LIMITS), sep="\n")
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    summary = table.summary(figures, LIMITS)
    print(f"\n{summary}; scale {document['scale']}, {document['seconds']} s; as JSON in {file}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.endurance", description="Put the refresh under load, and print one table with limits."
    )
    parser.add_argument(
        "--only", metavar="NAME", nargs="+", choices=PARTS, help=f"only these parts: {', '.join(PARTS)}"
    )
    parser.add_argument("--scale", type=positive, default=1.0, help="multiply the numbers of assets and runs by this")
    parser.add_argument("--minutes", type=positive, help="begin nothing more in a part after so many minutes")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of what happens to prices")  # noqa: S311
    parser.add_argument(
        "--json", metavar="FILE", type=Path, default=Path("endurance.json"), help="default: %(default)s"
    )
    return parser


if __name__ == "__main__":
    main()
