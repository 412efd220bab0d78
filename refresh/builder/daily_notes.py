"""What is remembered and said of daily bars that were built: repairs, rejects and missing days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from refresh.core.daily import DailyBars
from refresh.core.rows import tally
from refresh.records import MISSING_DAYS, REPAIRS
from refresh.store.replace import Changes


def notes_of(built: DailyBars, ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """Per asset, repairs by kind, days without a bar, and rejects by reason in the rows that were read.

    What did not occur is absent.
    """
    bars, rejects = built.bars, built.rejects
    owners = {MISSING_DAYS: np.repeat(bars["id"], bars["count_missing_days"])}
    for name in REPAIRS:
        owners[name] = bars["id"][bars[name]]
    for reason in np.unique(rejects["reason"]).tolist():
        owners[reason.decode()] = rejects["id"][rejects["reason"] == reason]
    notes: dict[int, dict[str, int]] = {id: {} for id in ids}
    for name, of_name in owners.items():
        for id, number in tally(of_name).items():
            notes[id][name] = number
    return notes


def counts_of(ids: Sequence[int], changes: Changes, notes: Mapping[int, Mapping[str, int]]) -> dict[str, list[int]]:
    """The columns of the daily state that count what this run did, one value per asset."""
    counts = {"last_upserted": [changes.written.get(id, 0) for id in ids]}
    for name in REPAIRS:
        counts[f"last_{name}"] = [notes[id].get(name, 0) for id in ids]
    counts["last_rejected"] = [_rejected(notes[id]) for id in ids]
    return counts


def _rejected(notes: Mapping[str, int]) -> int:
    others = {*REPAIRS, MISSING_DAYS}
    return sum(number for name, number in notes.items() if name not in others)
