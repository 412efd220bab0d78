"""Whether every asset is fresh in every table, for a monitor. Writes nothing.

That takes two things: recent runs that together covered every builder, with nothing left since; and tables that hold
what the source had long enough ago.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from refresh.catalog import by_key
from refresh.commands.job import Job
from refresh.commands.judged import Judged, judge_freshness
from refresh.errors import ExitCode
from refresh.faces import words
from refresh.options.arguments import filter_flags
from refresh.store import runs
from refresh.store.schema import looking
from refresh.wording import counted, listed

SHOWN = 20
"""The number of things that are wrong that ``--verbose`` lists."""
NEVER = "this database has no successful run yet"


def check(job: Job) -> int:
    """Print one line, with ``--verbose`` more. Returns the exit code: ``FAILED`` unless everything is fresh."""
    with looking(job.engine, job.request.tz) as connection:
        if not runs.covers(connection, filter_flags(), job.request.asset_ids) and not runs.any_good(connection):
            job.console.print(NEVER)
            return ExitCode.FAILED
        checked = judge_freshness(job.zoned(connection), connection)
    lines = list(_problems(job, checked))
    shown = lines[: SHOWN + 1] if job.request.verbose else lines[:1]
    for line in shown or [_fresh(job, checked)]:
        job.console.print(line)
    return ExitCode.FAILED if lines else ExitCode.DONE


def _problems(job: Job, checked: Judged) -> Iterator[str]:
    """What is wrong: a line that sums it up and names the worst, what no run proves, then everything else."""
    limit = f"the limit is {words.spoken(job.request.max_age.total_seconds())}"
    details = _details(checked)
    if details:
        yield f"not fresh: {_numbers(checked)}; worst: {details[0]}"
    if checked.uncovered:
        yield f"not proven: no run has refreshed all assets and series of {listed(checked.uncovered)} yet; {limit}"
    for cover in sorted(checked.covers.values(), key=lambda cover: cover.ended_at):
        if checked.now - cover.ended_at > job.request.max_age:
            yield f"too old: {_covered(cover, checked.now)}; {limit}"
    yield from details[1:]


def _numbers(checked: Judged) -> str:
    """In how many assets and tables something is wrong."""
    assets = {entry.id for entry in checked.open} | {entry.id for entry in checked.behind}
    tables = {entry.table for entry in checked.behind}
    for entry in checked.open:
        tables.update(leg.target for leg in by_key(entry.builder).legs)
    of_assets = f"{len(assets):,} of {counted(checked.assets, 'asset')}"
    return f"{of_assets} in {len(tables):,} of {counted(checked.tables, 'table')}"


def _details(checked: Judged) -> list[str]:
    """What is not done and what is not fresh, the worst first: failures by their age, then tables by their lag."""
    failing = sorted(checked.open, key=lambda entry: (words.WORST_FIRST.index(entry.status), entry.since))
    behind = sorted(checked.behind, key=lambda entry: entry.lag, reverse=True)
    failures = [
        f"ID {entry.id}, {entry.builder}: {entry.status.value} since {entry.since:%Y-%m-%d %H:%M} UTC: {entry.why}"
        for entry in failing
    ]
    return [*failures, *(f"ID {entry.id}, {entry.table}: {entry.why}" for entry in behind)]


def _covered(cover: runs.Cover, now: datetime) -> str:
    age = words.spoken((now - cover.ended_at).total_seconds())
    ended = f"{cover.ended_at:%Y-%m-%d %H:%M} UTC"
    return f"the last refresh of all assets of {cover.builder} ({cover.run_id}) ended {age} ago, {ended}"


def _fresh(job: Job, checked: Judged) -> str:
    number = f"{counted(checked.assets, 'asset')} in {counted(checked.tables, 'table')}"
    limit = words.spoken(job.request.max_age.total_seconds())
    oldest = min(checked.covers.values(), key=lambda cover: cover.ended_at)
    return f"fresh: {number}; {_covered(oldest, checked.now)}; the limit is {limit}"
