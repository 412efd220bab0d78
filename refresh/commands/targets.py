"""Whether the files that a command line names can be written, before anything is done for them."""

from __future__ import annotations

from pathlib import Path

from refresh.errors import UsageError
from refresh.faces import document, files
from refresh.options.request import Request


def check_targets(request: Request) -> None:
    """Raise a ``RefreshError`` that names the option and the file."""
    json = None if request.json == document.TERMINAL else request.json
    html = None if request.dry_run else request.html
    if json and html and Path(json).absolute() == Path(html).absolute():
        raise UsageError(f"--json and --html name the same file, {json}")
    if json and request.dry_run:
        files.check(json, "--json")
    elif json:
        document.check(json)
    if html:
        files.check(html, "--html")
