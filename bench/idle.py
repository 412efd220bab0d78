"""What it costs to learn that nothing is due: a dry run, and a run that starts no builder.

    .venv/bin/python bench/idle.py [--assets 1000] [--days 60] [--pairs 5]

Builds every table in an embedded PostgreSQL of its own, which is removed afterwards, and measures the program from its
start to its end. The pass over the source, which grows with its days, is measured by detection.py.
"""

from __future__ import annotations

import statistics

from throwaway import database, fill, folder, seconds, sizes


def main() -> None:
    """Measure and print."""
    size = sizes(__doc__, assets=1000, days=60, pairs=5)
    with folder() as directory, database(directory) as running:
        fill(running.engine, size.assets, size.days)
        print(f"a build of {size.assets:,} assets x {size.days:,} days: {seconds(running, directory):.1f} s")
        for name, arguments in (("dry run", ("--dry-run",)), ("run with nothing to do", ())):
            runs = [seconds(running, directory, *arguments) for _ in range(size.pairs)]
            print(f"{name}: median {statistics.median(runs):.2f} s")


if __name__ == "__main__":
    main()
