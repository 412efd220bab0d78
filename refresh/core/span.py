"""What a refresh has to do for one asset in one table, and why, in words. Imports no numeric library."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import MINYEAR, UTC, date, datetime
from enum import Enum
from math import ceil
from zoneinfo import ZoneInfo

from refresh.core.revision import Revision

RETRIED = "retry (failed last time)"


class Action(Enum):
    """The decision, in the words of the plan."""

    APPEND = "append"
    REVISE = "revise"
    REBUILD = "rebuild"
    PRUNE = "prune"


class Cause(Enum):
    """Why a table is built from the first day."""

    NEW = "not built yet"
    ASKED = "--full-rebuild"
    CONTRADICTION = "the state contradicts the table"


@dataclass(frozen=True, slots=True)
class Due:
    """Work on some series of one asset: recompute from ``since`` (``None``: from the first day) to ``through``.

    ``series`` are places in the leg's selection; a daily leg has none. ``days`` is how many input rows lie in between.
    A daily leg also knows the ``revision`` and, where it must not be taken in, the ``refusal``. ``retried``: the same
    builder failed at this asset last time.
    """

    id: int
    action: Action
    since: datetime | None
    through: datetime | None
    days: int
    series: tuple[int, ...] = ()
    cause: Cause | None = None
    revision: Revision | None = None
    refusal: str | None = None
    retried: bool = False

    @property
    def reason(self) -> str:
        """The reason in words, e.g. ``append 2 days`` or ``close of 2019-05-01 changed from 5350.7 to 5402.7``."""
        return f"{RETRIED}: {self._reason}" if self.retried else self._reason

    @property
    def _reason(self) -> str:
        if self.refusal:
            return self.refusal
        if self.revision:
            return self.revision.words
        if self.action is Action.PRUNE:
            return "gone from the source (--prune)"
        days = f"{self.days} day{'s'[: self.days != 1]}"
        if self.action is Action.APPEND:
            return f"append {days}"
        if self.action is Action.REVISE:
            whole = self.since is None or self.since.year == MINYEAR
            return "revise from the first day" if whole else f"revise from {self.since:%Y-%m-%d}"
        return f"build {days}: {self.cause.value}" if self.cause else f"build {days}"

    def on(self, series: Collection[int]) -> Due:
        """The same work on those of its series alone that are among these."""
        return replace(self, series=tuple(one for one in self.series if one in series))

    @property
    def rewrites(self) -> bool:
        """Whether stored rows are deleted unseen instead of being compared."""
        return self.action in {Action.REBUILD, Action.PRUNE}


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known before a run: its assets, and by builder key what is due and whose inputs wait to be rewritten.

    ``stale`` are the assets, by builder key, whose inputs lag too far behind the source, and how far; ``series`` how
    many series a builder has. ``unselected`` are the keys of builders that the filters leave no series; ``notices`` are
    what a user should know although nothing will be done about it.
    """

    ids: tuple[int, ...]
    dues: Mapping[str, tuple[Due, ...]]
    pending: Mapping[str, tuple[int, ...]]
    stale: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    series: Mapping[str, int] = field(default_factory=dict)
    unselected: frozenset[str] = frozenset()
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Work that is computed at once and committed together: of one action, or compared, and on the same series."""

    dues: tuple[Due, ...]

    @property
    def ids(self) -> list[int]:
        """The assets, each once, in order."""
        return [due.id for due in self.dues]

    @property
    def series(self) -> tuple[int, ...]:
        """The series that every asset of the batch is computed for."""
        return self.dues[0].series

    @property
    def action(self) -> Action:
        """What is done, told by the first asset: others may differ between append and revise."""
        return self.dues[0].action

    @property
    def rewrites(self) -> bool:
        """Whether the batch replaces whole series."""
        return self.dues[0].rewrites

    def halves(self) -> tuple[Batch, Batch]:
        """The batch in two, to find the asset that fails."""
        middle = len(self.dues) // 2
        return Batch(self.dues[:middle]), Batch(self.dues[middle:])


@dataclass(frozen=True, slots=True)
class ChangedMonth:
    """A month of one asset's source rows that is not what was last processed; ``None`` for rows without a time."""

    id: int
    month: date | None
    found: int
    known: int


@dataclass(frozen=True, slots=True)
class DailyState:
    """What is stored of an asset's daily bars, and whether table and state agree.

    ``rows``: how many source rows were last processed. ``bars``, ``first``, ``last``: what the table holds.
    """

    rows: int
    bars: int
    first: datetime | None
    last: datetime | None
    agrees: bool


def decide_daily(
    changed: Iterable[ChangedMonth], states: Mapping[int, DailyState], tz: str, *, rebuild: bool
) -> list[Due]:
    """What to read again per asset whose source changed or whose state contradicts its table; not yet what it means."""
    months: dict[int, list[ChangedMonth]] = {id: [] for id, state in states.items() if not state.agrees}
    for month in changed:
        months.setdefault(month.id, []).append(month)
    return [_decide(id, months[id], states.get(id), tz, rebuild=rebuild) for id in sorted(months)]


def _decide(id: int, months: Sequence[ChangedMonth], state: DailyState | None, tz: str, *, rebuild: bool) -> Due:
    found = sum(month.found for month in months)
    cause = Cause.ASKED if rebuild else Cause.NEW if state is None else None if state.agrees else Cause.CONTRADICTION
    if cause or state is None:
        days = max(found, state.rows) if state and cause is Cause.CONTRADICTION else found
        return Due(id, Action.REBUILD, None, None, days, cause=cause)
    if not all(month.month for month in months) or state.last is None:
        return Due(id, Action.REVISE, None, None, found + state.bars)
    first = min(month.month for month in months if month.month)
    since = datetime(first.year, first.month, 1, tzinfo=ZoneInfo(tz)).astimezone(UTC)
    return Due(id, Action.REVISE, since, None, found + max((state.last - since).days, 0))


def examined(due: Due, revision: Revision, refusal: str | None) -> Due:
    """The decision once stored and new bars were compared: only appended, or revised; accepted, or refused."""
    action = Action.REVISE if revision.restatement else Action.APPEND
    return replace(due, action=action, revision=revision, refusal=refusal)


def batches(dues: Iterable[Due], rows_at_once: int, assets_at_once: int) -> Iterator[Batch]:
    """Batches of at most ``rows_at_once`` computed rows, or of a single series that has more.

    Arrays are as long as the longest stretch among their assets, so stretches of like length go together. An asset
    stands at most once in a batch; one that has too many rows falls into several, by its series.
    """
    held: list[Due] = []
    pieces = (piece for due in dues for piece in _pieces(due, rows_at_once))
    for due in sorted(pieces, key=lambda due: (*_alike(due), due.days, due.id)):
        full = len(held) == assets_at_once or _rows(due) * (len(held) + 1) > rows_at_once
        if held and (full or _alike(held[0]) != _alike(due)):
            yield Batch(tuple(held))
            held = []
        held.append(due)
    if held:
        yield Batch(tuple(held))


def _pieces(due: Due, rows_at_once: int) -> Iterator[Due]:
    """The work in as few pieces as keep the limit, of about as many series each and of one at the least."""
    most = max(rows_at_once // (due.days + 1), 1)
    number = max(ceil(len(due.series) / most), 1)
    size = max(ceil(len(due.series) / number), 1)
    for place in range(number):
        yield replace(due, series=due.series[place * size : (place + 1) * size])


def _alike(due: Due) -> tuple[bool, bool, tuple[int, ...]]:
    return due.action is Action.PRUNE, due.rewrites, due.series


def _rows(due: Due) -> int:
    return (due.days + 1) * max(len(due.series), 1)
