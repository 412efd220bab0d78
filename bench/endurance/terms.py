"""What a load is run with: the seed of everything that is drawn, by what it is scaled, and how long it may take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """``minutes``: after them no part begins another night, refresh or race; ``None``: however long it takes."""

    seed: int
    scale: float = 1.0
    minutes: float | None = None

    @property
    def is_sample(self) -> bool:
        """Whether there will be too few runs to leave anything out of them."""
        return self.scale < 0.1  # noqa: PLR2004

    def runs(self, most: int, least: int = 1) -> Iterator[int]:
        """The numbers of the runs to make, from 1: ``most`` to scale, and fewer if time is over before."""
        began = time.monotonic()
        wanted = max(least, round(most * min(self.scale, 1)))
        for number in range(1, wanted + 1):
            is_late = self.minutes is not None and time.monotonic() - began > 60 * self.minutes
            if is_late and number > least:
                return
            yield number
