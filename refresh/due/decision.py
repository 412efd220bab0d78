"""What a refresh has to do for one asset in one table, and why, in words. Imports no numeric library."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import MINYEAR, datetime
from enum import Enum

from refresh.due.revision import Revision
from refresh.wording import counted

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
    REQUESTED = "--full-rebuild"
    CONTRADICTION = "the state contradicts the table"
    OUTDATED = "built by an older version"
    FOLDED = "rows are folded into days from now on"
    UNFOLDED = "rows are no longer folded into days"


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """Work on some series of one asset: recompute from ``since`` (``None``: from the first day) to ``through``.

    ``series``: positions in the leg's selection; a daily leg has none. ``days``: the number of input rows in between.
    A daily leg also has the ``revision``, once it is examined, and a ``refusal`` if that must not be taken in.
    ``is_retry``: the same builder failed at this asset last time. ``fold``: its rows are folded into days, and if they
    are many, read ``in_slices``.
    """

    id: int
    action: Action
    since: datetime | None = None
    through: datetime | None = None
    days: int = 0
    series: tuple[int, ...] = ()
    cause: Cause | None = None
    revision: Revision | None = None
    refusal: str | None = None
    is_retry: bool = False
    fold: bool = False
    in_slices: bool = False

    @property
    def reason(self) -> str:
        """The reason in words, e.g. ``append 2 days`` or ``close of 2019-05-01 changed from 5350.7 to 5402.7``."""
        return f"{RETRIED}: {self._reason}" if self.is_retry else self._reason

    @property
    def _reason(self) -> str:
        if self.refusal:
            return self.refusal
        if self.action is Action.PRUNE:
            return "gone from the source (--prune)"
        if self.revision and not self.rewrites:
            words = self.revision.words if self.revision.days or not self.is_switched else "no day changed"
            return f"{self.cause.value}: {words}" if self.cause else words
        if self.action is Action.APPEND:
            return f"append {counted(self.days, 'day')}"
        if self.action is Action.REVISE:
            return f"revise from {self._start}"
        cause = f": {self.cause.value}" if self.cause else ""
        restated = f"; {self.revision.words}" if self.revision else ""
        return f"build {counted(self.days, 'day')}{cause}{restated}"

    @property
    def _start(self) -> str:
        if self.since is None or self.since.year == MINYEAR:
            return "the first day"
        return f"{self.since:%Y-%m-%d}"

    @property
    def is_switched(self) -> bool:
        """Whether the asset is folded now and was not, or the other way round: somebody asked for what changes."""
        return self.cause in {Cause.FOLDED, Cause.UNFOLDED}

    def on(self, series: Collection[int]) -> Due:
        """The same work on these of its series alone."""
        return replace(self, series=tuple(position for position in self.series if position in series))

    @property
    def rewrites(self) -> bool:
        """Whether stored rows are deleted without being compared."""
        return self.action is Action.REBUILD or self.action is Action.PRUNE

    def examined(self, revision: Revision, refusal: str | None) -> Due:
        """The decision after stored and new bars were compared: append or revise, and why it is refused if it is.

        A rebuild stays one, and knows its revision if it has restated days or another calendar.
        """
        is_revised = bool(revision.restatement or revision.calendar)
        if self.rewrites:
            return replace(self, revision=revision if is_revised else None, refusal=refusal)
        action = Action.REVISE if is_revised else Action.APPEND
        return replace(self, action=action, revision=revision, refusal=refusal)


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What is known before a run: its assets and, by builder key, what is due and which assets' inputs are pending.

    ``stale``: by builder key, the assets whose inputs lag too far behind the source, and how far. ``series``: the
    number of series of a builder. ``unselected``: builders that the filters leave no series. ``notices``: what a user
    should know although the run will not change it.
    """

    ids: tuple[int, ...]
    dues: Mapping[str, tuple[Due, ...]]
    pending: Mapping[str, tuple[int, ...]]
    stale: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    series: Mapping[str, int] = field(default_factory=dict)
    unselected: frozenset[str] = frozenset()
    notices: tuple[str, ...] = ()
