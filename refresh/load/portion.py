"""The part of a price file that one database gets: everything, or the assets that belong into one of several shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from refresh.core.rows import Rows, take
from refresh.errors import CannotStartError
from refresh.shards.file import read_layout
from refresh.shards.layout import Layout


class Portion(Protocol):
    """The part of every file that a database gets."""

    @property
    def is_first(self) -> bool:
        """Whether no other database gets a part before: what is wrong with lines is told once."""

    def of(self, rows: Rows) -> Rows:
        """The rows that are in it."""

    def has(self, id: int) -> bool:
        """Whether an asset is in it."""

    def confirm(self) -> None:
        """Raise ``CannotStartError`` if assets belong elsewhere by now."""


class Whole:
    """Everything: there is one database."""

    is_first = True

    def of(self, rows: Rows) -> Rows:
        """All of them."""
        return rows

    def has(self, _: int) -> bool:
        """Every one."""
        return True

    def confirm(self) -> None:
        """Nothing can move."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InShard:
    """The assets of one shard. ``path``: of the file that says the ``layout``."""

    name: str
    layout: Layout
    path: str
    is_first: bool

    def of(self, rows: Rows) -> Rows:
        """Those whose asset is in the shard."""
        distinct, places = np.unique(rows["id"], return_inverse=True)
        own = np.array([self.has(id) for id in distinct.tolist()], bool)
        return take(rows, own[places])

    def has(self, id: int) -> bool:
        """Whether an asset is in the shard."""
        return self.layout.shard_of(id) == self.name

    def confirm(self) -> None:
        """Read the file again: an asset that has moved meanwhile would get its prices where nobody looks for them."""
        if read_layout(self.path) != self.layout:
            raise CannotStartError(f"--shards {self.path} has changed while a price file was loaded; load it again")
