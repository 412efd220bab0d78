"""What every table, view and column of ours means: the one source of the documents and of the comments in a database.

The texts are those of the documents, with their links; a comment has them without.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from refresh.catalog import Leg, legs
from refresh.shapes import DAY, SNAPSHOT, Average
from refresh.store import meanings_beside
from refresh.store import meanings_of_rows as texts
from refresh.store.reader_views import closed_name, latest_name, with_bars_columns, with_bars_name

_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
_MORE = "\n  "
"""A line that continues the one above."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of some columns, each of them."""

    columns: tuple[str, ...]
    words: str


def meanings(text: str) -> list[Meaning]:
    """The lines of a text: columns, and after a colon their meaning."""
    lines = text.replace(_MORE, " ").split("\n")
    parts = [line.partition(": ") for line in lines if line]
    return [Meaning(tuple(columns.split()), words) for columns, _, words in parts]


def without_links(words: str) -> str:
    """The words as a comment has them, without links and marks of code."""
    return _LINK.sub(r"\1", words).replace("`", "")


def _of_average(average: Average, first: Average) -> list[Meaning]:
    d1, _, d1_roll, _ = average.differences
    roll = texts.ROLL if average is first else texts.ROLL_AGAIN.format(roll=first.roll)
    value = texts.VALUES.get(average.name, texts.OTHER_VALUE)
    found = [Meaning((average.roll,), roll), Meaning((average.name,), value)]
    for column, words in zip(average.differences, texts.DIFFERENCES, strict=True):
        found.append(Meaning((column,), words.format(value=average.name, d1=d1, d1_roll=d1_roll)))
    return found


def _of_target(leg: Leg) -> list[Meaning]:
    if leg.shape is DAY:
        return meanings(texts.DAYS)
    if leg.shape is SNAPSHOT:
        return meanings(texts.SNAPSHOTS)
    found = meanings(texts.AVERAGES)
    for average in leg.averages:
        found += _of_average(average, leg.averages[0])
    return found + meanings(texts.AVERAGES_END)


def _of_packed(leg: Leg) -> list[Meaning]:
    values = [name for average in leg.averages for name in average.columns]
    words = [Meaning((name,), texts.PACKED_VALUE.format(name=name)) for name in values]
    return [*meanings(texts.PACKED), *words, *meanings(texts.AVERAGES_END)]


def _of_state(leg: Leg) -> list[Meaning]:
    if not leg.shape.has_timeframes:
        return meanings(texts.DAILY_STATE)
    return meanings(texts.EMAS_STATE if leg.shape.has_periods else texts.BARS_STATE)


def _with_bars(leg: Leg) -> list[Meaning]:
    """Those of the bars' columns, then those of the averages'."""
    bar_names, names = with_bars_columns(leg)
    of_bars = by_column(_of_target(next(bars for _, bars in legs() if bars.target == leg.follows.table)))
    of_averages = by_column(_of_target(leg))
    words = {**of_averages, **of_bars, "tf": of_averages["tf"]}
    return [Meaning((name,), words[name]) for name in [*bar_names, *names]]


def by_column(found: Iterable[Meaning]) -> dict[str, str]:
    """The words of each column."""
    return {column: meaning.words for meaning in found for column in meaning.columns}


def _columns() -> dict[str, Sequence[Meaning]]:
    found: dict[str, Sequence[Meaning]] = {name: meanings(text) for name, text in meanings_beside.COLUMNS.items()}
    for _, leg in legs():
        own = _of_target(leg)
        found |= {leg.target: own, leg.state: _of_state(leg), latest_name(leg): own, closed_name(leg): own}
        if leg.averages:
            found |= {
                leg.table: _of_packed(leg),
                leg.places: meanings(texts.PLACES),
                with_bars_name(leg): _with_bars(leg),
            }
    return found


def _rows() -> dict[str, str]:
    found = dict(meanings_beside.ROWS)
    for builder, leg in legs():
        series = _series(leg)
        found[leg.state] = f"how far {series} has come in `{leg.target}`, and from where on it has to be rewritten"
        found[leg.target] = texts.TARGETS.get(leg.target, builder.summary)
        found[latest_name(leg)] = f"the last row of {series} in `{leg.target}`"
        found[closed_name(leg)] = f"a finished bar of `{leg.target}`"
        if leg.averages:
            found[leg.table] = f"a part of the averages of an asset and day; read `{leg.target}`"
            found[leg.places] = f"where a series of `{leg.target}` is in the packed rows"
            found[with_bars_name(leg)] = f"a row of `{leg.target}` with its bar of `{leg.follows.table}`"
    return found


def _series(leg: Leg) -> str:
    if not leg.shape.has_timeframes:
        return "an asset"
    return "an asset, timeframe and period" if leg.shape.has_periods else "an asset and timeframe"


COLUMNS: Mapping[str, Sequence[Meaning]] = _columns()
"""The meanings of the columns of each table and view, in the order of the documents."""
ROWS: Mapping[str, str] = _rows()
"""What one row of each is."""


def column_table(relation: str) -> str:
    """The columns of a table or view in markdown."""
    rows = []
    for meaning in COLUMNS[relation]:
        names = ", ".join(f"`{column}`" for column in meaning.columns)
        rows.append(f"| {names} | {meaning.words} |\n")
    return "| column | meaning |\n|---|---|\n" + "".join(rows)
