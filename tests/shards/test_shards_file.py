"""The file of shards: what it says, what is wrong with it, and that comments outlive what is written into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from refresh.errors import SettingsError
from refresh.shards.file import read_layout, text_of
from refresh.shards.layout import Layout

TEXT = """
# Ours since 2024.
[shards]
east = "EAST_URL"  # the old one
west = "WEST_URL"

[placed]
west = [1, 52]

[waiting]
east = [52]
"""
BROKEN = {
    "": "it names no shard",
    "[shards]\neast = 5": "shard east: its value is the name of the variable",
    '[shards]\n"East 1" = "A"': "shard 'East 1': a name is small letters",
    '[shards]\na = "X"\nb = "X"': "X is the variable of two shards",
    '[shards]\na = "postgresql://u:secret@h/d"': "shard a: its value is the name of the variable",
    '[shards]\na = "X"\n[placed]\nb = [1]': r"\[placed\] b: no such shard; nearest: a",
    '[shards]\na = "X"\n[placed]\na = ["BTC"]': r"\[placed\] a: its value is a list of ids",
    '[shards]\na = "X"\nb = "Y"\n[placed]\na = [1]\nb = [1]': r"\[placed\]: 1 is in the lists of two shards",
    '[shard]\na = "X"': r"\[shard\] means nothing; nearest: shards",
    "[shards": "write it as",
    "shards = 3": "shards is no table",
}


def written(folder: Path, text: str) -> str:
    """A file with this text."""
    path = folder / "shards.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_file_says_the_layout(tmp_path: Path) -> None:
    """Shards with their variables, and the lists by asset."""
    assert read_layout(written(tmp_path, TEXT)) == Layout(
        shards={"east": "EAST_URL", "west": "WEST_URL"}, placed={1: "west", 52: "west"}, waiting={52: "east"}
    )


@pytest.mark.parametrize(("text", "message"), BROKEN.items())
def test_mistake_is_named(tmp_path: Path, text: str, message: str) -> None:
    """A file that is broken is refused, and no value of it is repeated that may be a secret."""
    with pytest.raises(SettingsError, match=message) as refused:
        read_layout(written(tmp_path, text))
    assert "secret" not in str(refused.value)


def test_file_of_others_is_not_believed(tmp_path: Path) -> None:
    """It says where prices go."""
    path = Path(written(tmp_path, TEXT))
    path.chmod(0o666)
    with pytest.raises(SettingsError, match="could have been written by every user"):
        read_layout(str(path))


def test_changes_keep_comments(tmp_path: Path) -> None:
    """What is written is read again as the same, and what a user wrote beside it stays."""
    layout = read_layout(written(tmp_path, TEXT)).arrived([52]).with_shard("north", "NORTH_URL", range(50))
    text = text_of(layout, TEXT, "shards.toml")
    assert read_layout(written(tmp_path, text)) == layout
    assert "# Ours since 2024." in text
    assert "# the old one" in text


def test_what_would_be_refused_is_not_written() -> None:
    """A name that the file must not have is refused before anything is written."""
    layout = Layout(shards={"east": "EAST_URL"}).with_shard("The North", "NORTH_URL", [])
    with pytest.raises(SettingsError, match="shard 'The North': a name is small letters"):
        text_of(layout, TEXT, "shards.toml")
