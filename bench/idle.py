"""What it costs to find out that nothing is due: a dry run, and a run that launches no builder.

    .venv/bin/python bench/idle.py [--assets 1000] [--days 60] [--pairs 5]

Builds every table in an embedded PostgreSQL of its own, which is removed afterwards, and times the program from its
start to its end. The pass over the source, which grows with its days, is measured by detection.py.
"""

from __future__ import annotations

import argparse
import statistics

from throwaway import database, fill, folder, seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("assets", 1000), ("days", 60), ("pairs", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    with folder() as place, database(place) as made:
        fill(made.engine, asked.assets, asked.days)
        print(f"a build of {asked.assets:,} assets x {asked.days:,} days: {seconds(made, place):.1f} s")
        for name, arguments in (("dry run", ("--dry-run",)), ("run with nothing to do", ())):
            took = [seconds(made, place, *arguments) for _ in range(asked.pairs)]
            print(f"{name}: median {statistics.median(took):.2f} s")


if __name__ == "__main__":
    main()
