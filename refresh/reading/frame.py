"""The result of reading: columns as numpy arrays, which become the table of another library on request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from refresh.reading import conversion
from refresh.reading.picture import picture
from refresh.wording import nearest

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Frame:
    """Rows as columns: ``frame["close"]`` is a numpy array, and all arrays of a frame have the shape (rows,).

    ``columns``: the arrays by name. ``table``: where they are from. ``tf``: the timeframe that all rows have in common;
    empty where there is none.

    | a column of | is | and NULL is |
    |---|---|---|
    | numbers with a fraction | ``float64`` | NaN |
    | times, in UTC | ``datetime64[us]`` | NaT |
    | days | ``datetime64[D]`` | NaT |
    | lengths of time | ``timedelta64[us]`` | NaT |
    | whole numbers | ``int32`` or ``int64``; a masked array where NULL may occur | masked |
    | flags | ``bool`` | never |
    | texts | ``object``, of ``str`` | ``None`` |

    The arrays are the reader's own: changing them changes nothing else.

    >>> frame = db.bars("AAPL", "1D", since="2024-12-27", columns=["close", "volume"])
    >>> len(frame), list(frame)
    (2, ['id', 'timestamp', 'close', 'volume'])
    >>> frame["close"]
    array([255.59, 252.2 ])
    >>> float(dict(frame)["close"].max())
    255.59
    """

    columns: Mapping[str, NDArray[Any]]
    table: str
    tf: str = ""

    def __len__(self) -> int:
        """The number of rows."""
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The column of this name, shape (rows,). Raises ``KeyError`` with the nearest names."""
        if name not in self.columns:
            raise KeyError(f"no column {name!r}; {nearest(str(name), self.columns)}")
        return self.columns[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is a column of this name."""
        return name in self.columns

    def __iter__(self) -> Iterator[str]:
        """The names of the columns, in order."""
        return iter(self.columns)

    def __repr__(self) -> str:
        """The first and the last rows, as a table."""
        return picture(self.columns, f"{self.table} {self.tf}".strip())

    def keys(self) -> list[str]:
        """The names of the columns, in order; with it ``dict(frame)`` gives the arrays by name."""
        return list(self.columns)

    def to_pandas(self) -> pd.DataFrame:
        """A ``DataFrame`` of pandas. Times have the zone UTC, whole numbers with NULLs the type ``Int32`` or ``Int64``.

        Raises ``MissingPackageError`` if pandas is not installed.
        """
        return conversion.to_pandas(self.columns)

    def to_polars(self) -> pl.DataFrame:
        """A ``DataFrame`` of polars. Times have the zone UTC, and NaN is null.

        Raises ``MissingPackageError`` if polars is not installed.
        """
        frame: pl.DataFrame = conversion.to_polars(self.columns)
        return frame

    def to_arrow(self) -> pa.Table:
        """A ``Table`` of Arrow. Times have the zone UTC, and NaN is null.

        Raises ``MissingPackageError`` if pyarrow is not installed.
        """
        return conversion.to_arrow(self.columns)
