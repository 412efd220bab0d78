"""The tutorials: every command of them is run, one after the other, and prints what the document says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from databases import database
from other_users import public_folder
from programs import PROJECT
from sqlalchemy import URL

DOCUMENT = PROJECT / "docs" / "tutorials.md"
LEFT_OUT = "..."
FENCES = re.compile(r"^```sh\n(.*?)^```\n\n```\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
VARIES = [
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?( UTC)?|\d{4}-\d\d-\d\dT[\d:.+]+"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? ?s(econds)?\b|\b\d+ ms\b"), "SECONDS"),
    (re.compile(r"(file://)?/[^ ()]+/"), "FOLDER/"),
    (re.compile(r" +$", re.MULTILINE), ""),
]
SHIMS = {
    "daily-refresh": """#!/bin/sh
PYTHONPATH={project} exec {python} -c 'import sys; from refresh.commands.product import main; sys.exit(main())' "$@"
""",
    "python": """#!/bin/sh
exec {python} "$@"
""",
}
"""What a user has in the path once the package is installed."""


@dataclass(frozen=True)
class Part:
    """A tutorial: its heading, and its commands with what they print."""

    title: str
    steps: tuple[tuple[str, str], ...]


def parts() -> list[Part]:
    """The tutorials that have commands."""
    chapters = re.split(r"^## ", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return [Part(chapter.split("\n", 1)[0], tuple(FENCES.findall(chapter))) for chapter in chapters]


def settled(text: str) -> list[str]:
    """Lines without what differs from machine to machine."""
    for pattern, word in VARIES:
        text = pattern.sub(word, text)
    return text.strip("\n").split("\n")


def fits(expected: list[str], printed: list[str]) -> bool:
    """Whether lines are those that were printed, with any number of them at a mark."""
    if not expected:
        return not printed
    if expected[0] == LEFT_OUT:
        return any(fits(expected[1:], printed[skipped:]) for skipped in range(len(printed) + 1))
    return bool(printed) and expected[0] == printed[0] and fits(expected[1:], printed[1:])


@pytest.fixture
def surroundings(server: URL, tmp_path: Path) -> Iterator[tuple[dict[str, str], str]]:
    """The variables of a user with an empty home and the command in its path, and a database of the user's own."""
    (tmp_path / "bin").mkdir()
    for name, script in SHIMS.items():
        program = tmp_path / "bin" / name
        program.write_text(script.format(project=PROJECT, python=sys.executable))
        program.chmod(0o755)
    ours = {"PYTHONPATH": str(PROJECT), "REFRESH_LOG_DIR": str(tmp_path / "logs")}
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    with public_folder() as data, database(server, "template1") as url:
        environ = {"PATH": path, "HOME": str(tmp_path), "REFRESH_DATA_DIR": str(data / "data"), **ours}
        yield environ, url.replace("+psycopg2", "")


def test_tutorials(surroundings: tuple[dict[str, str], str]) -> None:
    """The commands end well and print what is shown; the first tutorial has no database of its own, the others do.

    One test for all: each tutorial goes on with what those before it built.
    """
    environ, own = surroundings
    first, *others = parts()
    assert others
    for part, database_of_user in ((first, {}), *((other, {"TARGET_DB_URL": own}) for other in others)):
        assert part.steps, part.title
        for commands, expected in part.steps:
            code, printed = follow(commands, {**environ, **database_of_user})
            assert code == 0, f"{part.title}: {printed}"
            assert fits(settled(expected), settled(printed)), f"{part.title}: {printed}"


def follow(commands: str, environ: dict[str, str]) -> tuple[int, str]:
    """Run the commands of a step. Returns their exit code, and what they print."""
    result = subprocess.run(
        [shutil.which("bash") or "sh", "-euc", commands],
        cwd=environ["HOME"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    return result.returncode, result.stdout
