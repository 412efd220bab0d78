"""Files that a command line names: what cannot be written is told before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from prices import FILL
from programs import run
from sqlalchemy import Engine
from statements import address, ask, execute

DAILY = ("run_daily_refresh.py", "--bars", "--builders", "1d")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--html", "{0}/missing/x.html"], 3, "--html {0}/missing/x.html: No such file or directory; name a file"),
        (["--json", "{0}/missing/x.json"], 3, "--json {0}/missing/x.json: No such file or directory; name a file"),
        (["--json", "{0}"], 3, "--json {0}: Is a directory; name a file"),
        (["--json", "{0}/x.json"], 2, "--json {0}/x.json: the lines of the run would replace {0}/x.jsonl, which holds"),
        (["--metrics", "{0}/missing/x.prom"], 3, "--metrics {0}/missing/x.prom: No such file or directory; name a"),
        (["--html", "{0}/x", "--metrics", "{0}/x"], 2, "--html and --metrics name the same file, {0}/x"),
        (["--json", "{0}/x", "--html", "{0}/x"], 2, "--json and --html name the same file, {0}/x"),
    ],
)
def test_nothing_is_done(engine: Engine, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    """One line names the option, the file and the way out; no run was begun."""
    execute(engine, FILL, asset=1, first="2024-01-01Z", last="2024-01-09Z")
    (tmp_path / "x.jsonl").write_text("precious\n", encoding="utf-8")
    result = run(*DAILY, *(argument.format(tmp_path) for argument in arguments), url=address(engine))
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (code, "", 1)
    assert result.stderr.startswith(f"error: {message.format(tmp_path)}")
    assert ask(engine, "SELECT FROM refresh_runs") == []
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["precious\n"]


def test_stdout_by_its_name(engine: Engine) -> None:
    """A document can be written to what is no file; nothing is made beside it."""
    execute(engine, FILL, asset=1, first="2024-01-01Z", last="2024-01-09Z")
    result = run(*DAILY, "--json", "/dev/stderr", url=address(engine))
    assert result.returncode == 0
    assert '"kind": "run"' in result.stderr
    assert not Path("/dev/stderrl").exists()
