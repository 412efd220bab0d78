"""Opening a database for reading, as every command finds it."""

from __future__ import annotations

import os
from contextlib import ExitStack

from refresh.options.environment import settings
from refresh.reading.database import Database
from refresh.store.database import opened


def connect(url: str | None = None, *, config: str | None = None) -> Database:
    """Open a database for reading.

    ``url``: its address; ``None``: that of ``TARGET_DB_URL`` in the environment or in ``.env``, and without one the
    embedded PostgreSQL, which runs while it is open. ``config``: another file of settings than ``.env``.

    Raises ``SettingsError`` for an address or setting that cannot be used, ``DatabaseUnreachableError``,
    ``PoolingError`` and ``EmbeddedServerError``; all of them are a ``refresh.RefreshError``.
    """
    environ = settings(os.environ, config)
    with ExitStack() as stack:
        database = stack.enter_context(opened(url, environ, "reading"))
        title = database.named_by("url" if url else environ.source("TARGET_DB_URL"))
        return Database(database, title, stack.pop_all())
