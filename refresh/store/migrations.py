"""What brings a database from one layout to the next: numbered steps, each with what it does in words.

Only what creating does not do by itself is here: a run also creates tables and views that are missing, and adds
columns that only a refresh writes. A migration meets databases in which tables are missing or were migrated before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from refresh.store.comments import comment_on
from refresh.store.constraints import add_constraints

Step = str | Callable[[Connection], None]
"""A statement, or a function that sends some."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    """From the layout before to layout ``number``.

    ``words``: what it does, after "layout 1 -> 2: ". ``former_views``: the definitions that views had before; a view
    that still has one gets the present one, and a view that its user changed is left to be refused.
    """

    number: int
    words: str
    steps: tuple[Step, ...] = ()
    former_views: Mapping[str, str] = field(default_factory=dict)


FIRST = 1
"""The layout of databases that do not say which they have."""
MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        number=2,
        words="conditions on small tables, comments on everything, and views for readers",
        steps=(add_constraints, comment_on),
    ),
)
LATEST = MIGRATIONS[-1].number
"""The layout that this program creates."""
