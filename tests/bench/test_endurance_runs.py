"""The refresh under load, as a user starts it, with a tiny sample of each part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from programs import PROJECT, run

from bench.endurance.__main__ import PARTS

TINY = ("--scale", "0.0004", "--seed", "7")
"""Two assets, two nights of one asset, four refreshes, or a race."""


@pytest.mark.parametrize("part", PARTS)
def test_limits_are_kept(part: str, tmp_path: Path) -> None:
    """A sample prints the seed, then a table with a limit beside each figure, and breaks none."""
    file = tmp_path / "endurance.json"
    result = run("-m bench.endurance", "--only", part, *TINY, "--json", str(file), url="")
    machine, _, header, _, *rows = result.stdout.splitlines()
    assert machine.endswith("synchronous_commit on); seed 7"), result.stderr
    assert header.startswith("| measure")
    assert rows[-1].endswith(f"as JSON in {file}")
    document = json.loads(file.read_text())
    assert document["seed"] == 7
    broken = [figure for figure in document["figures"] if not figure.get("met", True)]
    assert not [figure for figure in broken if figure["unit"] == "count"]  # ratios of next to nothing say nothing
    assert result.returncode == (1 if broken else 0), result.stderr


@pytest.mark.parametrize("part", PARTS)
def test_part_is_explained(part: str) -> None:
    """Each part has a row in the document."""
    text = (PROJECT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert f"\n| `{part}` | " in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--only", "days"), "invalid choice: 'days'"), (("--scale", "-1"), "-1 is not above 0")],
)
def test_endurance_refuses(arguments: tuple[str, ...], message: str) -> None:
    """What cannot be run is refused before anything is."""
    result = run("-m bench.endurance", *arguments, url="")
    assert result.returncode == 2
    assert message in result.stderr
