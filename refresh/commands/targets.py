"""Whether the files that a command line names can be written, before anything is done for them."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

from refresh.errors import UsageError
from refresh.faces import document, files
from refresh.options.request import Request


def check_targets(request: Request) -> None:
    """Raise a ``RefreshError`` that names the option and the file."""
    json = None if request.json == document.TERMINAL else request.json
    written = {"--json": json, "--html": request.html, "--metrics": request.metrics}
    if request.dry_run:
        written = {"--json": json}
    named = {option: target for option, target in written.items() if target}
    for option, other in combinations(named, 2):
        if Path(named[option]).absolute() == Path(named[other]).absolute():
            raise UsageError(f"{option} and {other} name the same file, {named[option]}")
    for option, target in named.items():
        files.check(target, option)
    if json and not request.dry_run:
        document.check(json)
