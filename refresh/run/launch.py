"""Starts one builder process per step and gathers its outcomes. The only module of the run that starts a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import IO

import refresh
from refresh.outcome import Outcome, Status
from refresh.run.plan import Step
from refresh.run.report import StepReport

PACKAGE_FOLDER = Path(refresh.__file__).resolve().parent.parent
SECONDS_TO_STOP = 10

Watch = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class RunContext:
    """What every builder of a run shares: the run's name and clock, and the environment with its secrets."""

    run_id: str
    now: datetime
    environ: Mapping[str, str]

    @property
    def arguments(self) -> list[str]:
        """The arguments that tie a builder to its run."""
        return ["--run-id", self.run_id, "--now", self.now.isoformat()]


def command(step: Step) -> list[str]:
    """The command that starts the step's builder; secrets travel in the environment."""
    return [sys.executable, "-m", "refresh.builder", *step.arguments]


def launch(step: Step, run: RunContext, watch: Watch) -> StepReport:
    """Run a step to its end. Every asset of the step has an outcome afterwards, whatever became of the process."""
    began = time.monotonic()
    skipped = [Outcome(step.builder.key, task.id, Status.SKIPPED, reason=task.reason) for task in step.skipped]
    for outcome in skipped:
        watch(outcome)
    if not step.tasks:
        return StepReport(step.builder, tuple(skipped), 0.0, launched=False, idle_because=step.idle_because)
    with tempfile.TemporaryFile() as words:
        outcomes, code = _run(step, run, words, watch)
        missing = _missing(step, outcomes, code, _last_line(words))
    for outcome in missing:
        watch(outcome)
    return StepReport(step.builder, (*outcomes, *missing, *skipped), time.monotonic() - began, launched=True)


def _run(step: Step, run: RunContext, words: IO[bytes], watch: Watch) -> tuple[list[Outcome], int]:
    """The outcomes that the builder streamed, and its exit code."""
    reading, writing = os.pipe()
    planned = set(step.ids)
    with os.fdopen(reading, encoding="utf-8") as stream:
        try:
            process = subprocess.Popen(
                [*command(step), *run.arguments, "--outcomes-fd", str(writing)],
                env=_environment(run.environ),
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                pass_fds=[writing],
            )
        finally:
            os.close(writing)
        with _ended_with_us(process):
            outcomes = []
            for line in stream:
                if not line.endswith("\n"):
                    continue  # torn by the builder's death: its asset counts as not reached
                outcome = Outcome.parse(line)
                if outcome.id in planned:
                    outcomes.append(outcome)
                    watch(outcome)
            return outcomes, process.wait()


@contextmanager
def _ended_with_us(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ends the process where the block is left by an exception: politely, then for good."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _missing(step: Step, outcomes: list[Outcome], code: int, word: str) -> list[Outcome]:
    """An outcome for each asset that the process did not report: a silent builder has failed."""
    reported = {outcome.id for outcome in outcomes}
    ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
    error = f"the builder {ended} without reporting this asset" + (f": {word}" if word else "")
    blank = Outcome(step.builder.key, 0, Status.NOT_REACHED, error=error)
    return [replace(blank, id=task.id, reason=task.reason) for task in step.tasks if task.id not in reported]


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    paths = [str(PACKAGE_FOLDER), *filter(None, [environ.get("PYTHONPATH")])]
    return {**environ, "PYTHONPATH": os.pathsep.join(paths)}


def _last_line(words: IO[bytes]) -> str:
    words.seek(0)
    lines = words.read().decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else ""
