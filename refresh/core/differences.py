"""Differences of a value column: to the day before, and to the last day that closed a bar.

Arrays are (days, assets, series). ``first`` is what preceded the first day, (assets, series), NaN if nothing did.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refresh.core.rows import Array


@dataclass(frozen=True, kw_only=True, slots=True)
class Values:
    """One value column and its differences, each (days, assets, series), NaN where undefined."""

    value: Array
    d1: Array
    d2: Array
    d1_roll: Array
    d2_roll: Array

    @property
    def parts(self) -> tuple[Array, ...]:
        """The value and its differences, in the order of the table's columns."""
        return self.value, self.d1, self.d2, self.d1_roll, self.d2_roll


def to_previous(values: Array, first: Array) -> Array:
    """Each day's value minus that of the day before."""
    return np.asarray(values - _previous(values, first))


def to_canonical(values: Array, first: Array, *, canonical: Array, closed: Array) -> Array:
    """On canonical days, the value minus that of the canonical day before; NaN between them.

    ``closed``: what ``last_closed`` says of ``canonical``.
    """
    before = np.take_along_axis(np.concatenate([first[None], values]), closed, axis=0)
    return np.where(canonical, values - before, np.nan)


def last_closed(canonical: Array) -> Array:
    """Per day, the number of the last canonical day before it, counted from 1; 0 if none is in the stretch."""
    day_numbers = np.arange(1, len(canonical) + 1, dtype=np.int32)[:, None, None]
    latest = np.maximum.accumulate(np.where(canonical, day_numbers, np.int32(0)), axis=0)
    return _previous(latest, np.zeros(canonical.shape[1:], np.int32))


def _previous(values: Array, first: Array) -> Array:
    """The values, one day later."""
    return np.concatenate([first[None], values])[:-1]
