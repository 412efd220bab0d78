"""What is installed: the very files that were chosen, and no program of theirs is run to build them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
FILES = sorted(path.name for path in CHECKOUT.glob("requirements*.txt"))
INCLUDED = re.compile(r"(?:-r|-c) \S+")
PINNED = re.compile(r"[a-z0-9.-]+==[\w.]+(?: ; [^\\]+?)?(?: +--hash=sha256:[0-9a-f]{64})+(?: +# .*)?")
INSTALLS = re.compile(r"pip install (?!.*(?:--no-index|--no-deps)).*")
"""An installation that fetches packages."""


def requirements(name: str) -> list[str]:
    """The requirements of a file, one a line."""
    text = (CHECKOUT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    return [re.sub(r" +", " ", line) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("name", FILES)
def test_every_requirement_is_pinned(name: str) -> None:
    """Each package has one version and the digests of its files."""
    listed = [line for line in requirements(name) if not INCLUDED.fullmatch(line)]
    assert listed
    assert [line for line in listed if not PINNED.fullmatch(line)] == []


def test_every_dependency_is_pinned() -> None:
    """What the package names is in requirements.txt."""
    with (CHECKOUT / "pyproject.toml").open("rb") as file:
        named = tomllib.load(file)["project"]["dependencies"]
    pinned = {line.partition("==")[0] for line in requirements("requirements.txt")}
    assert {re.split(r"[<>=\[ ]", name)[0].lower() for name in named} <= pinned


@pytest.mark.parametrize("file", ["Makefile", "examples/container/Containerfile"])
def test_wheels_with_digests_alone(file: str) -> None:
    """Packages are fetched as wheels whose digests are known, except the tool that makes the lists."""
    text = (CHECKOUT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    fetching = [line for line in INSTALLS.findall(text) if "pip-tools" not in line]
    assert fetching
    for line in fetching:
        assert "--require-hashes" in line
        assert "--only-binary :all:" in line
