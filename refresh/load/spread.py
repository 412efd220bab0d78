"""Price files -> several databases: the rows of each asset go into the shard that holds it.

Each shard gets its part of a file in a transaction of its own. A part that fails costs the file there and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import reduce

from sqlalchemy import Engine

from refresh.load.files import PriceFile
from refresh.load.loading import Choices, FileResult, load
from refresh.load.portion import InShard
from refresh.load.telling import warn
from refresh.shards.file import read_layout
from refresh.shards.layout import Layout, addresses
from refresh.store import database
from refresh.store.address import read_address


def load_spread(
    files: Iterable[PriceFile], path: str, environ: Mapping[str, str], choices: Choices, say: Callable[[str], object]
) -> Iterator[FileResult]:
    """Load files into the shards of a layout. Raises what reading the layout and opening a database raises."""
    layout = read_layout(path)
    now = datetime.now(UTC)
    with ExitStack() as stack:
        engines: dict[str, Engine] = {}
        for name, address in addresses(layout, environ).items():
            engines[name] = stack.enter_context(database.connect(address, "load"))
            say(f"shard {name}: database {read_address(address).shown} ({layout.shards[name]})")
        for file in files:
            results = []
            for position, name in enumerate(_shards_of(file, layout)):
                portion = InShard(name=name, layout=layout, path=path, is_first=position == 0)
                own = replace(choices, portion=portion)
                results.append(load(file, engines[name], now=now, choices=own, notify=warn))
            yield reduce(_joined, results)


def _shards_of(file: PriceFile, layout: Layout) -> list[str]:
    """The shards that may get a part of a file: all, unless its asset is named."""
    ids = [asset.id for asset in file.assignment.assets if asset.id is not None]
    return list(layout.split(ids)) or list(layout.shards)


def _joined(one: FileResult, other: FileResult) -> FileResult:
    """The result of a file in two shards."""
    return replace(
        one,
        counts=one.counts + other.counts,
        ids=one.ids | other.ids,
        bad_lines=one.bad_lines + other.bad_lines,
        problem=one.problem or other.problem,
    )
