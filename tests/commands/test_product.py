"""The one command: which words it takes, what it says to others, and how shells complete it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from programs import PROJECT, run

from refresh.commands.product import SUBCOMMANDS
from refresh.installation import VERSION

START = "-c import sys; from refresh.commands.product import main; sys.exit(main())"
COMMAND = [*START.split(maxsplit=1)]
NOWHERE = "postgresql://nobody@127.0.0.1:1/prices"


def product(*words: str, url: str = NOWHERE, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user of an installed package does."""
    command = [sys.executable, *COMMAND, *words]
    clean = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TARGET_DB_URL": url}
    return subprocess.run(
        command, cwd=PROJECT, env={**clean, **environ}, capture_output=True, text=True, check=False, timeout=300
    )


def completions(line: str, tmp_path: Path) -> list[str]:
    """What the shell is offered at the end of a line, by the protocol of argcomplete."""
    answer = tmp_path / "answer"
    asking = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
    }
    product(**asking)
    return [word.strip() for word in answer.read_text(encoding="utf-8").split("\n")]


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_every_subcommand(words: list[str]) -> None:
    """Without a word, and when asked, the command says what its words do."""
    result = product(*words)
    assert (result.returncode, result.stderr) == (0, "")
    listed = [line.split()[0] for line in result.stdout.splitlines() if line.startswith("  ") and line[2] != " "]
    assert listed == list(SUBCOMMANDS)
    assert max(map(len, result.stdout.splitlines())) <= 110


@pytest.mark.parametrize("words", [["--version"], ["run", "--version"], ["load", "--version"]], ids=" ".join)
def test_version(words: list[str]) -> None:
    """The command and its parts print the version of the distribution."""
    assert product(*words).stdout == f"daily-refresh {VERSION}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["chek"], "error: no such subcommand; nearest: check (see daily-refresh --help)"),
        (["--all"], "error: no such subcommand; name one first (see daily-refresh --help)"),
        (["postgresql://u:s3cret@h/db"], "error: no such subcommand; name one first (see daily-refresh --help)"),
        (["explain"], "error: the following arguments are required: ID (see --help)"),
        (["check", "--full-rebuild"], "error: unrecognized arguments: --full-rebuild is no option of this program"),
        (["run", "--bars", "--emas"], "error: name exactly one of --all, --bars and --emas, not --bars and --emas"),
        (["move", "--help"], "error: daily-refresh move takes no words; it moves tables at once"),
        (["completion", "csh"], "error: name one shell: daily-refresh completion {bash|zsh|fish}"),
    ],
    ids=lambda value: " ".join(value)[:20],
)
def test_wrong_words(words: list[str], message: str) -> None:
    """A word that does not fit is refused in one line, and is not repeated if it may be a secret."""
    result = product(*words)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


def test_parts_do_what_the_programs_do(prepared_url: str, tmp_path: Path) -> None:
    """A night by the words of the one command, with what each says and how it ends."""
    page, logs = tmp_path / "page.html", {"REFRESH_LOG_DIR": str(tmp_path)}
    loaded = product("load", "--sample", url=prepared_url)
    assert "1,509 inserted" in loaded.stdout
    assert "Dry run: nothing was written." in product("plan", url=prepared_url).stdout
    assert product("check", url=prepared_url).returncode == 1
    assert "Done: 77,736 rows written" in product("run", "--bars", url=prepared_url, **logs).stdout
    assert "Done: 271,294 rows written" in product("run", "--quiet", url=prepared_url, **logs).stdout
    assert product("check", url=prepared_url).returncode == 0
    assert "nothing: up to date" in product("explain", "900000001", url=prepared_url).stdout
    validated = product("validate", "--sample", "all", url=prepared_url, **logs)
    assert "validated: 1 of 1 asset in 12 tables, 1 recomputed" in validated.stdout
    assert product("page", str(page), url=prepared_url, **logs).returncode == 0
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert "TARGET_DB_URL" in product("settings", url=prepared_url).stdout
    query = "SELECT command, program, program_version FROM refresh_runs ORDER BY started_at"
    asked = product("psql", "-Atc", query, url=prepared_url).stdout
    assert asked == f"daily-refresh run --bars|daily|{VERSION}\ndaily-refresh run --quiet|daily|{VERSION}\n"
    assert product("move", url=prepared_url).stdout == "nothing to move: no table is of the former layout\n"


def test_whoever_runs_a_program_sees_the_same(prepared_url: str) -> None:
    """A subcommand and the program of the checkout answer alike."""
    listed = {"Dry run: nothing was written."}
    answers = [
        product("plan", url=prepared_url).stdout,
        run("run_daily_refresh.py", "--all", "--dry-run", url=prepared_url).stdout,
    ]
    assert answers[0] == answers[1]
    assert listed <= set(answers[0].splitlines())


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("daily-refresh va", {"validate"}),
        ("daily-refresh run --full", {"--full-rebuild"}),
        ("daily-refresh run --builders cal_a", {"cal_anchor_us", "cal_anchor_iso"}),
        ("daily-refresh check --resu", set[str]()),
        ("daily-refresh load --deci", {"--decimal"}),
    ],
)
def test_completion(line: str, offered: set[str], tmp_path: Path) -> None:
    """A shell is offered the words that fit, and options of the subcommand alone."""
    assert set(completions(line, tmp_path)) - {""} == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_of_a_shell(shell: str) -> None:
    """Each shell gets its own text, in which the command is named."""
    result = product("completion", shell)
    assert result.returncode == 0
    assert "daily-refresh" in result.stdout
    assert "_ARGCOMPLETE" in result.stdout
