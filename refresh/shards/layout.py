"""Assets spread over databases: each belongs to the database that its hash names, unless a list names another one.

The hash is a rendezvous: every shard bids for an asset, and the highest bid gets it. So a new shard takes its share
from all others, and no asset moves between two that were there before. D. Thaler and C. Ravishankar, "Using name-based
mappings to increase hit rates", IEEE/ACM Transactions on Networking 6 (1998).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from refresh.errors import SettingsError, UsageError
from refresh.wording import nearest, quoted

_BYTES_OF_A_BID = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The shards, and where assets are that are not where their hash says.

    ``shards``: the variable of the environment that holds the address of each shard, by its name. ``placed``: the shard
    of an asset for good. ``waiting``: the shard in which an asset still is, although it belongs into another one.
    """

    shards: Mapping[str, str]
    placed: Mapping[int, str] = field(default_factory=dict)
    waiting: Mapping[int, str] = field(default_factory=dict)

    def shard_of(self, id: int) -> str:
        """The shard that holds an asset now."""
        return self.waiting.get(id) or self.home_of(id)

    def home_of(self, id: int) -> str:
        """The shard into which an asset belongs."""
        return self.placed.get(id) or self._winner(id)

    def split(self, ids: Iterable[int]) -> dict[str, list[int]]:
        """Assets by the shard that holds them; shards without any are left out."""
        by_shard: dict[str, list[int]] = {}
        for id in ids:
            by_shard.setdefault(self.shard_of(id), []).append(id)
        return {name: by_shard[name] for name in self.shards if name in by_shard}

    def strays(self, name: str, ids: Iterable[int]) -> list[int]:
        """Those of the assets found in a shard that are not meant to be there, not even as a copy in the making."""
        others = [id for id in ids if self.shard_of(id) != name]
        return [id for id in others if id not in self.waiting or self.home_of(id) != name]

    def assigned(self, ids: Iterable[int], to: str) -> Layout:
        """The same with assets that belong into another shard from now on, and wait for their move where they are."""
        ids = list(ids)
        waiting = {**self.waiting, **{id: self.shard_of(id) for id in ids if self.shard_of(id) != to}}
        placed = {**self.placed, **dict.fromkeys(ids, to)}
        return replace(
            self,
            placed={id: name for id, name in placed.items() if name != self._winner(id)},
            waiting={id: name for id, name in waiting.items() if id not in ids or name != to},
        )

    def found(self, ids: Iterable[int], where: str) -> Layout:
        """The same with assets that were found in a shard into which they do not belong: they wait there."""
        return replace(self, waiting={**self.waiting, **dict.fromkeys(ids, where)})

    def arrived(self, ids: Iterable[int]) -> Layout:
        """The same with assets that have reached the shard into which they belong."""
        gone = set(ids)
        return replace(self, waiting={id: name for id, name in self.waiting.items() if id not in gone})

    def with_shard(self, name: str, variable: str, ids: Iterable[int]) -> Layout:
        """The same with one more shard. Those of the assets that belong there now wait where they are."""
        larger = replace(self, shards={**self.shards, name: variable})
        moving = {id: self.shard_of(id) for id in ids if larger.home_of(id) != self.shard_of(id)}
        return replace(larger, waiting={**self.waiting, **moving})

    def check(self, name: str, option: str) -> str:
        """The name of a shard; raises ``UsageError`` for one that does not exist."""
        if name not in self.shards:
            raise UsageError(f"{option} {quoted(name)}: no such shard; {nearest(name, self.shards)}")
        return name

    def _winner(self, id: int) -> str:
        return max(self.shards, key=lambda name: (_bid(name, id), name))


def _bid(name: str, id: int) -> bytes:
    return blake2b(f"{name}:{id}".encode(), digest_size=_BYTES_OF_A_BID).digest()


def addresses(layout: Layout, environ: Mapping[str, str]) -> dict[str, str]:
    """The address of each shard, from the environment. Raises ``SettingsError`` for one that is missing."""
    found = {name: environ.get(variable, "") for name, variable in layout.shards.items()}
    for name, address in found.items():
        if not address:
            raise SettingsError(
                f"shard {name}: {layout.shards[name]} is not set; set it to the address of that database, "
                "postgresql://user:password@host:5432/database"
            )
    return found
