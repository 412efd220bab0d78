"""One command on all shards: the same program on each database side by side, and what they did as one.

Each works as on a database of its own: with its lock, its history and its laws. Alerts and heartbeats are sent once.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from refresh.commands.part import part
from refresh.commands.share import others, symbols
from refresh.commands.workplace import cores
from refresh.errors import ExitCode
from refresh.faces import document, spread
from refresh.faces.alerts import Digest
from refresh.faces.console import make_console
from refresh.faces.files import write_whole
from refresh.options.arguments import typed_arguments
from refresh.options.asset_names import with_ids
from refresh.options.declaration import Program
from refresh.options.environment import Settings
from refresh.options.request import Request
from refresh.run.programs import EndedPart, Part, Said, run_parts
from refresh.run.summary import Severity
from refresh.shards.file import read_layout
from refresh.shards.layout import Layout, addresses
from refresh.stop import Stop
from refresh.wording import escaped

KEPT_LINES = 40
"""The last lines of a part: the answer to a question, or why a run failed. A run may print millions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Everywhere:
    """The work on all shards while it goes on. ``folder``: for what the parts write for the whole."""

    program: Program
    request: Request
    environ: Settings = field(repr=False)
    layout: Layout
    addresses: Mapping[str, str] = field(repr=False)
    folder: Path
    lines: dict[str, deque[str]] = field(default_factory=dict)

    def part(self, name: str, request: Request, jobs: int | None) -> Part:
        """The program of one shard."""
        arguments = typed_arguments(self.program, self._own(name, request, jobs))
        return part(name, self.layout, self.addresses[name], self.environ, self.program, arguments)

    def _own(self, name: str, request: Request, jobs: int | None) -> Request:
        """The request of one shard: its files are its own."""
        return replace(
            request,
            shards=None,
            config=None,
            db_url=None,
            alert_on_error=False,
            jobs=jobs if request.launches else None,
            json=str(self.folder / f"{name}.json") if request.launches or request.validate else None,
            html=self.page(name) if request.html else None,
            metrics=str(self.folder / f"{name}.prom") if request.metrics else None,
            log_dir=str(Path(request.log_dir, name)),
            from_environment=request.from_environment - {"log_dir"},
        )

    def page(self, name: str) -> str:
        """The page of a shard, beside that of the whole."""
        path = Path(self.request.html or "")
        return str(path.with_name(f"{path.stem}-{name}{path.suffix}"))

    def tell(self, said: Said) -> None:
        """Pass on a line, with its shard."""
        self.lines.setdefault(said.name, deque(maxlen=KEPT_LINES)).append(said.line)
        is_result = self.request.json == document.TERMINAL
        stream = sys.stderr if said.is_error or is_result else sys.stdout
        stream.write(f"{said.name}: {escaped(said.line)}\n")

    def ended(self, part: EndedPart) -> spread.Ended:
        """How the program of a shard ended, with what it wrote."""
        lines = tuple(self.lines.get(part.name, ()))
        said = self._document(part.name)
        return spread.Ended(name=part.name, code=part.code, seconds=part.seconds, lines=lines, document=said)

    def _document(self, name: str) -> dict[str, Any] | None:
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def work(program: Program, request: Request, environ: Settings, now: datetime) -> tuple[int, tuple[Digest, ...]]:
    """Do what was asked for on every shard that it concerns. Returns the exit code, and what people should be sent."""
    layout = read_layout(request.shards or "")
    places = addresses(layout, environ)
    request = with_ids(request, lambda: symbols(places))
    started, stop = time.monotonic(), Stop()
    with tempfile.TemporaryDirectory() as folder, stop.listening():
        job = _Everywhere(
            program=program, request=request, environ=environ, layout=layout, addresses=places, folder=Path(folder)
        )
        parts = _parts(job, now)
        side_by_side, _ = _jobs(request, len(parts))
        ended = [job.ended(part) for part in run_parts(parts, side_by_side, job.tell, stop)]
        ended.sort(key=lambda shard: list(layout.shards).index(shard.name))
        return _published(job, ended, time.monotonic() - started, stop, now)


def _parts(job: _Everywhere, now: datetime) -> list[Part]:
    """The program of each shard that the request concerns, with what the other shards hold."""
    request, layout = job.request, job.layout
    ids: Mapping[str, Sequence[int] | None] = dict.fromkeys(layout.shards)
    if request.explain is not None:
        ids = {layout.shard_of(request.explain): None}
    elif request.asset_ids is not None:
        ids = layout.split(request.asset_ids)
    elsewhere = others(job.addresses, request, now)
    _, jobs = _jobs(request, len(ids))
    parts = []
    for name, own in ids.items():
        narrowed = replace(request, ids=None if own is None else tuple(own), elsewhere=elsewhere[name])
        parts.append(job.part(name, narrowed, jobs))
    return parts


def _jobs(request: Request, parts: int) -> tuple[int, int | None]:
    """How many parts run side by side, and how many builders each: ``None``, if workers elsewhere decide that."""
    if request.cluster and not request.jobs:
        return parts, None
    jobs = request.jobs or cores()
    return jobs, max(jobs // max(parts, 1), 1)


def _published(
    job: _Everywhere, ended: Sequence[spread.Ended], seconds: float, stop: Stop, now: datetime
) -> tuple[int, tuple[Digest, ...]]:
    """Print, write and return what all shards did."""
    request = job.request
    code = spread.exit_code(ended, stop.exit_code)
    console = make_console(error=request.json == document.TERMINAL)
    if (request.launches or request.validate) and not request.dry_run:
        spread.show(console, ended, spread.headline(ended, code, seconds))
    if request.json:
        document.write(spread.document(ended, code, seconds), request.json)
    if request.metrics and not request.dry_run:
        texts = {shard.name: job.folder / f"{shard.name}.prom" for shard in ended}
        written = {name: path.read_text(encoding="utf-8") for name, path in texts.items() if path.exists()}
        write_whole(spread.metrics(written), request.metrics, "--metrics")
    if request.html and not request.dry_run:
        pages = {shard.name: Path(job.page(shard.name)).name for shard in ended}
        write_whole(spread.page(ended, pages, f"{now:%Y-%m-%d %H:%M}"), request.html, "--html")
    return code, tuple(filter(None, (_digest(request, ended, code, seconds),)))


def _digest(request: Request, ended: Sequence[spread.Ended], code: int, seconds: float) -> Digest | None:
    """What people should be sent."""
    if request.digest:
        lines = tuple(f"{shard.name}: {line}" for shard in ended for line in shard.lines)
        severity = Severity.ERROR if code != ExitCode.DONE else Severity.INFO
        return Digest(severity=severity, headline="the last seven days, by shard", lines=lines)
    return spread.digest(ended, code, seconds)
