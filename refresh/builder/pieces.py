"""The work of a leg in pieces: what is locked together, and how much of it is committed at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from refresh.due.batches import Batch
from refresh.due.decision import Due


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Assets to look at, and the series if they are not all. What is due of them is decided under their locks."""

    ids: tuple[int, ...]
    series: frozenset[int] | None = None

    def halves(self) -> list[Piece]:
        """The piece in two, to find the asset that fails."""
        middle = len(self.ids) // 2
        return [Piece(ids=ids, series=self.series) for ids in (self.ids[:middle], self.ids[middle:])]

    def within(self, dues: Iterable[Due]) -> list[Due]:
        """The part of some work that is about the series of this piece."""
        if self.series is None:
            return list(dues)
        return [due.on(self.series) for due in dues if self.series.intersection(due.series)]


@dataclass(frozen=True, slots=True)
class Decided:
    """What is due of a piece, in batches. The first is committed now, each other one becomes a piece of its own."""

    batches: tuple[Batch, ...] = ()

    @property
    def dues(self) -> tuple[Due, ...]:
        """The work of the first batch."""
        return self.batches[0].dues if self.batches else ()

    @property
    def parts(self) -> Counter[int]:
        """The number of batches that each asset is in."""
        return Counter(id for batch in self.batches for id in batch.ids)

    def others(self) -> list[Piece]:
        """The batches after the first, as pieces."""
        return [Piece(ids=tuple(batch.ids), series=frozenset(batch.series) or None) for batch in self.batches[1:]]
