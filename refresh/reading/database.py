"""A database that is open for reading: bars, averages, freshness, and the history of runs."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Self, SupportsIndex, TypeVar

from sqlalchemy import Connection

from refresh.catalog import Group
from refresh.errors import ReadingError, UsageError
from refresh.options.request import Request
from refresh.reading import arguments
from refresh.reading.arguments import Assets, Periods, Time
from refresh.reading.frame import Frame
from refresh.reading.records import as_columns
from refresh.reading.standing import MAX_AGE, read_standing
from refresh.reading.target import Question, read_frame
from refresh.store import runs
from refresh.store.database import Opened
from refresh.store.retry import may_pass, retried
from refresh.store.schema import looking
from refresh.store.server_errors import ASSET_ERRORS, first_line

Result = TypeVar("Result")


class Database:
    """An open database. Reading cannot write, and every call sees one state of all tables.

    As a context manager it is closed at the end of the block; otherwise by ``close``, or when Python ends. Every method
    raises a ``RefreshError`` that says in one line what is wrong: ``UsageError`` for an argument, ``SchemaError`` for a
    table that does not fit, ``ReadingError`` for what the server refuses. Tables that no refresh has created yet read
    as empty. A connection that was lost is opened again.

    The parameters of ``bars`` and ``emas``:

    * ``assets``: ids or symbols, as ``--ids`` takes them, one or several; ``None`` for all
    * ``timeframe``: ``"1D"`` or one of ``dim_timeframe``, by its label or its length, in any case
    * ``family``: the table, where several have a timeframe of this length: ``multi_tf``, ``cal_us``, ``cal_iso``,
      ``cal_anchor_us`` or ``cal_anchor_iso``, ``1d`` for bars, and for EMAs of daily closes ``v2``
    * ``closed``: only closed bars, one row each, instead of a row per daily close
    * ``since``, ``until``: days in the time zone of the tables, or moments, in UTC unless they say another zone; both
      are included
    * ``columns``: these and the key, instead of all that are no texts
    """

    def __init__(self, opened: Opened, title: str, stack: ExitStack) -> None:
        self._opened = opened
        self._title = title
        self._close = weakref.finalize(self, stack.close)

    def __enter__(self) -> Self:
        """The database itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        """Which database it is, without a password, and which setting named it."""
        state = "" if self._close.alive else "closed: "
        return f"<{state}{self._title}>"

    def close(self) -> None:
        """Close the connection. An embedded server that nobody else uses is stopped."""
        self._close()

    def bars(
        self,
        assets: Assets,
        timeframe: str,
        *,
        family: str | None = None,
        closed: bool = False,
        since: Time = None,
        until: Time = None,
        columns: str | Iterable[str] | None = None,
    ) -> Frame:
        """The bars of a timeframe, ordered by asset and time.

        >>> db.bars("AAPL", "1w_cal_iso", closed=True, since="2024-12-09", columns=["bar_seq", "close"])
        3 rows of cmc_price_bars_multi_tf_cal_iso 1W_CAL_ISO
               id                timestamp  bar_seq   close
        900000001  2024-12-13 23:59:59.999      310  248.13
        900000001  2024-12-20 23:59:59.999      311  254.49
        900000001  2024-12-27 23:59:59.999      312  255.59
        """
        question = Question(
            assets=arguments.asset_names(assets), timeframe=timeframe, family=family, periods=None, closed=closed,
            since=since, until=until, columns=arguments.names(columns),
        )  # fmt: skip
        return self._read(lambda connection: read_frame(connection, Group.BARS, question))

    def emas(
        self,
        assets: Assets,
        timeframe: str,
        *,
        periods: Periods = None,
        family: str | None = None,
        closed: bool = False,
        since: Time = None,
        until: Time = None,
        columns: str | Iterable[str] | None = None,
    ) -> Frame:
        """The EMAs of a timeframe and of some ``periods``, ``None`` for all; ordered by asset, time and period.

        >>> db.emas("AAPL", "7D", periods=[10, 20], since="2024-12-30", columns=["ema", "roll"])
        2 rows of cmc_ema_multi_tf 7D
               id                       ts  period  roll          ema
        900000001  2024-12-30 23:59:59.999      10  True  238.7034024
        900000001  2024-12-30 23:59:59.999      20  True  227.7429529
        """
        question = Question(
            assets=arguments.asset_names(assets), timeframe=timeframe, family=family,
            periods=arguments.numbers(periods), closed=closed, since=since, until=until,
            columns=arguments.names(columns),
        )  # fmt: skip
        return self._read(lambda connection: read_frame(connection, Group.EMAS, question))

    def freshness(self, assets: Assets = None, *, max_age: timedelta | str = MAX_AGE) -> Frame:
        """Whether each asset is fresh in each table, as ``--check`` judges it: a row per asset and table.

        ``last_source``: the last time of the asset in the price table. ``last_bar``: the last daily bar that the table
        has processed, in the series that is furthest behind. ``lag``: the trading time between the two. ``why``: why it
        is not fresh, else empty. ``max_age``: days of the source that are newer are not late yet, e.g. ``"26h"``.

        >>> frame = db.freshness("AAPL")
        >>> frame["is_fresh"].all()
        np.True_
        >>> frame["last_bar"].max()
        np.datetime64('2024-12-30T23:59:59.999000')
        """
        names, age = arguments.asset_names(assets), arguments.length_of_time("max_age", max_age)
        now = datetime.now(UTC)
        rows = self._read(lambda connection: read_standing(connection, now, names, age))
        return Frame(rows, "freshness")

    def runs(self, last: SupportsIndex | None = 20) -> Frame:
        """The ``last`` runs, the latest first; ``None`` for all that are remembered.

        A run without ``ended_at`` and ``exit_code`` is at work, or was killed.

        >>> db.runs(last=1)["exit_code"].tolist()
        [0]
        """
        number = None if last is None else arguments.whole_number("last", last)
        rows = self._read(lambda connection: runs.latest(connection, number))
        return Frame(as_columns(rows, runs.LATEST), "refresh_runs")

    def _read(self, read: Callable[[Connection], Result]) -> Result:
        """The result of a transaction that can only read, which is repeated if the connection was lost meanwhile."""
        if not self._close.alive:
            raise UsageError("the database is closed; open it again with refresh.connect()")

        def attempt(_: int) -> Result:
            with looking(self._opened.engine) as connection:
                return read(connection)

        try:
            return retried(attempt, Request().retries, lambda _: None, is_temporary=may_pass)
        except ASSET_ERRORS as error:
            raise ReadingError(first_line(error)) from None
