"""Where our tables are: in the schema ``public``, whatever else a database has and wherever a session looks for names.

Statements name tables and views plainly, as users do. As a statement is sent, each name gets its schema here, in one
place. Sessions look for all other names in ``pg_catalog`` alone, so a name that is not ours fails, and no function,
operator, type or table of a stranger is ever meant.
"""

from __future__ import annotations

import re
from functools import lru_cache

from refresh.catalog import SOURCE
from refresh.store.statements import SCHEMA
from refresh.store.tables import METADATA, TARGET_TABLES
from refresh.store.views import VIEWS

OURS = frozenset({SOURCE, *METADATA.tables, *TARGET_TABLES, *VIEWS})
"""Every table and view that a statement may name."""
_FIRST_WORDS = sorted({name.partition("_")[0] for name in OURS})
_NAME = re.compile(rf"""(?<![\w."'])((?:{"|".join(_FIRST_WORDS)})_\w++)(?!["'])""")
"""Whatever begins as our names do: that it is one of many is found out faster than by looking for each."""


@lru_cache(maxsize=256)  # a builder sends a hundred statements again and again
def qualified(statement: str, absent: frozenset[str] = frozenset()) -> str:
    """The statement with the schema before each of our names, except those of ``absent`` tables."""

    def with_schema(match: re.Match[str]) -> str:
        name = match[1]
        return f"{SCHEMA}.{name}" if name in OURS and name not in absent else name

    return _NAME.sub(with_schema, statement)
