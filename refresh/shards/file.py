"""The file that says which shards there are and which assets are elsewhere than their hash says: ``shards.toml``.

It holds no address, and so no secret: it names the variables of the environment that do.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from refresh.errors import MissingPackageError, SettingsError
from refresh.options.settings_file import believed_text
from refresh.shards.layout import Layout
from refresh.wording import listed, nearest, quoted

_NAME = re.compile("[a-z][a-z0-9_]{0,30}")
"""Of a shard: also a part of names of files, servers and schemas."""
_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_PARTS = ("shards", "placed", "waiting")
_FORM = 'write it as [shards], then a line for each: east = "SHARD_EAST_URL"'


def read_layout(path: str) -> Layout:
    """The layout that a file says. Raises ``SettingsError`` for one that is broken or that others may have written."""
    return _layout(believed_text(Path(path), "--shards"), path)


def _layout(text: str, path: str) -> Layout:
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"--shards {path}: {error}; {_FORM}") from None
    for mistake in _mistakes(said):
        raise SettingsError(f"--shards {path}: {mistake}")
    return Layout(
        shards=said["shards"],
        **{part: _by_id(said.get(part, {})) for part in ("placed", "waiting")},
    )


def _by_id(lists: Mapping[str, list[int]]) -> dict[int, str]:
    by_id: dict[int, str] = {}
    for name, ids in lists.items():
        by_id |= dict.fromkeys(ids, name)
    return by_id


def _mistakes(said: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a file, in words."""
    for part, value in said.items():
        if part not in _PARTS:
            yield f"[{part}] means nothing; {nearest(part, _PARTS)}"
        elif not isinstance(value, dict):
            yield f"{part} is no table; {_FORM}"
    shards = said.get("shards", {})
    if not shards:
        yield f"it names no shard; {_FORM}"
    for name, variable in shards.items():
        if not _NAME.fullmatch(name):
            yield f"shard {quoted(name)}: a name is small letters, digits and _, at most 31, and begins with a letter"
        if not isinstance(variable, str) or not _VARIABLE.fullmatch(variable):
            yield f"shard {name}: its value is the name of the variable that holds the address, e.g. SHARD_EAST_URL"
    if twice := [variable for variable, number in Counter(shards.values()).items() if number > 1]:
        yield f"{listed(twice)} is the variable of two shards; each needs a database of its own"
    for part in _PARTS[1:]:
        yield from _mistakes_of_lists(part, said.get(part, {}), shards)


def _mistakes_of_lists(part: str, lists: Mapping[str, Any], shards: Mapping[str, str]) -> Iterator[str]:
    counts: Counter[int] = Counter()
    for name, ids in lists.items():
        if name not in shards:
            yield f"[{part}] {name}: no such shard; {nearest(name, shards)}"
        if not isinstance(ids, list) or any(type(id) is not int for id in ids):
            yield f"[{part}] {name}: its value is a list of ids such as [1, 52]"
            return
        counts.update(set(ids))
    if twice := sorted(id for id, number in counts.items() if number > 1):
        yield f"[{part}]: {listed(twice[:3])} is in the lists of two shards; leave it in one"


def text_of(layout: Layout, before: str, path: str) -> str:
    """The file that says a layout, with the comments of the one before.

    Raises ``SettingsError`` if it would be refused when it is read, and ``MissingPackageError``.
    """
    try:
        import tomlkit  # noqa: PLC0415 - only who changes a layout needs it
    except ModuleNotFoundError:
        raise MissingPackageError(
            "writing shards.toml needs the package tomlkit: pip install 'daily-refresh[shards]'"
        ) from None
    document = tomlkit.parse(before)
    for name, variable in layout.shards.items():
        document.setdefault("shards", tomlkit.table())[name] = variable
    for part, by_id in (("placed", layout.placed), ("waiting", layout.waiting)):
        table = tomlkit.table()
        for name, ids in _by_shard(layout, by_id).items():
            table[name] = ids
        document.pop(part, None)
        if table:
            document[part] = table
    text = tomlkit.dumps(document)
    _layout(text, path)
    return text


def _by_shard(layout: Layout, by_id: Mapping[int, str]) -> dict[str, list[int]]:
    lists: dict[str, list[int]] = {}
    for id in sorted(by_id):
        lists.setdefault(by_id[id], []).append(id)
    return {name: lists[name] for name in layout.shards if name in lists}
