"""Names and messages of others that hold escape sequences: nowhere do they reach a terminal as such."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bot_api import Bot, serving
from prices import FILL
from programs import PROJECT, run
from sqlalchemy import Engine
from statements import address, ask, execute
from terminals import everything

CLEAR = "\x1b[2J"
TURNED = "\u202e"
EVIL = f"evil{CLEAR}{TURNED}\x9b\n"
SHOWN = r"evil\x1b[2J\u202e\x9b"
UNSEEN = ("\x1b", "\u202e", "\x9b")
DAILY = ("run_daily_refresh.py", "--bars", "--builders", "1d")


@pytest.fixture
def failing(engine: Engine) -> Engine:
    """A database with two assets, one of which violates a constraint with such a name."""
    for asset in (1, 2):
        execute(engine, FILL, asset=asset, first="2024-01-01Z", last="2024-02-09Z")
    quoted = EVIL.replace(":", "\\:")
    execute(engine, f'ALTER TABLE cmc_price_bars_1d ADD CONSTRAINT "{quoted}" CHECK (id <> 2)')
    return engine


@pytest.fixture
def bot() -> Iterator[Bot]:
    """A server that answers as Telegram does."""
    with serving() as server:
        yield server


def test_error_of_the_database(failing: Engine, bot: Bot, tmp_path: Path) -> None:
    """Console, log, JSON, message and page show it, and show it escaped."""
    files = {name: tmp_path / name for name in ("run.json", "run.jsonl", "page.html")}
    outputs = ("--json", str(files["run.json"]), "--html", str(files["page.html"]))
    result = run(*DAILY, *outputs, url=address(failing), **{"REFRESH_LOG_DIR": str(tmp_path), **bot.telegram})
    assert result.returncode == 1
    (log,) = (path.read_text(encoding="utf-8") for path in tmp_path.glob("*.log"))
    texts = [path.read_text(encoding="utf-8") for path in files.values()]
    for text in (result.stdout, result.stderr, log, *bot.texts, *texts):
        assert "[2J" in text
        assert not [sign for sign in UNSEEN if sign in text]
    assert SHOWN in result.stderr
    assert SHOWN in "".join(bot.texts)


def test_on_a_terminal(failing: Engine) -> None:
    """What draws with colors escapes the texts of others."""
    master, terminal = pty.openpty()
    environ = {"PATH": os.environ["PATH"], "REFRESH_LOG_DIR": os.environ["REFRESH_LOG_DIR"], "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, *DAILY],
        cwd=PROJECT,
        env={**environ, "TARGET_DB_URL": address(failing)},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    seen = everything(master)
    assert process.wait() == 1
    assert SHOWN in seen.replace("\r\n", "")
    assert "\x1b[1m" in seen
    assert not [sign for sign in (CLEAR, TURNED, "\x9b") if sign in seen]


def test_builder_alone(failing: Engine) -> None:
    """The same without a run around it."""
    result = run("-m refresh.builder", "bars.1d", url=address(failing))
    assert result.returncode == 1
    assert not [sign for sign in UNSEEN if sign in result.stdout + result.stderr]


def test_words_of_a_builder(failing: Engine, tmp_path: Path) -> None:
    """What a library prints in a builder, a NUL included, is its error in the history and in words."""
    library = (
        f"import os, sys\nif 'refresh.builder' in str(sys.orig_argv):\n    os.write(2, {chr(0) + EVIL!r}.encode())"
    )
    (tmp_path / "sitecustomize.py").write_text(library + "\n    os._exit(9)\n", encoding="utf-8")
    result = run(*DAILY, url=address(failing), PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    error = "the builder exited with 9 without reporting this asset: "
    assert error in result.stderr
    assert not [sign for sign in UNSEEN if sign in result.stdout + result.stderr]
    ((stored,),) = ask(failing, "SELECT DISTINCT error FROM refresh_outcomes WHERE builder = 'bars.1d'")
    assert stored.startswith(error)
    assert r"\x00evil\x1b" in stored


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("run_daily_refresh.py", ["--all", "--builders", EVIL]),
        ("run_daily_refresh.py", ["--all", "--tfs", EVIL]),
        ("-m refresh.builder", [EVIL]),
        ("-m refresh.load", [EVIL, "--id", "1"]),
        ("-m refresh.load", ["--manifest", EVIL, "x.csv"]),
    ],
)
def test_command_line(failing: Engine, program: str, arguments: list[str]) -> None:
    """Words that were typed are shown on one line."""
    result = run(program, *arguments, url=address(failing))
    assert result.returncode in {1, 2}
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert r"\x1b[2J\u202e" in result.stderr
    assert not [sign for sign in UNSEEN if sign in result.stderr]


def test_names_of_files_and_assets(engine: Engine, tmp_path: Path) -> None:
    """A file is loaded whatever its name is; names of assets without control characters only."""
    odd = os.fsdecode(os.fsencode(tmp_path / EVIL) + b"\xff.csv")
    Path(odd).write_text("date,open,high,low,close\n2024-01-01,1,2,1,2\n2024-01-02,1,2,1,\x1b[2J\n", encoding="utf-8")
    result = run("-m refresh.load", odd, "--id", "5", url=address(engine))
    assert (result.returncode, result.stdout.count("\n"), result.stderr.count("\n")) == (1, 3, 1)
    assert not [sign for sign in UNSEEN if sign in result.stdout + result.stderr]
    assert ask(engine, "SELECT source_file FROM cmc_price_histories7") == [(SHOWN + r"\x0a\udcff.csv",)]
    result = run("-m refresh.load", odd, "--id", "5", "--name", EVIL, url=address(engine))
    expected = rf"error: --name: {SHOWN}\n: contains a control character" + "\n"
    assert (result.returncode, result.stderr) == (2, expected)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a" * 131_073, "manifest.csv:2: field larger than field limit (131072)"),
        ("a\0b", r"manifest.csv:2: name: a\x00b: contains a control character"),
    ],
)
def test_names_in_a_manifest(engine: Engine, tmp_path: Path, name: str, problem: str) -> None:
    """A name that cannot be stored is a usage error of one line."""
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(f"file,id,name\nx.csv,1,{name}\n", encoding="utf-8")
    (tmp_path / "x.csv").write_text("date,open,high,low,close\n2024-01-01,1,2,1,2\n", encoding="utf-8")
    result = run("-m refresh.load", str(tmp_path / "x.csv"), "--manifest", str(manifest), url=address(engine))
    assert (result.returncode, result.stderr) == (2, f"error: {tmp_path}/{problem}\n")
