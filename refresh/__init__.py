"""The daily refresh of price bars and EMAs in PostgreSQL: the map of the house, and the door for readers.

``refresh.connect`` opens a database for reading; docs/reading.md is about it. Everything else is for the programs. Each
folder is a room, which imports only from those that are listed below it; docs/developing.md says more.

* ``commands``  what happens when a user starts a program; the only room that may import every other
* ``faces``     how a plan, a run or a finding is shown
* ``run``       which builders run, in which order, with which assets, and how they ended
* ``load``      what is in a price file
* ``validate``  whether the tables are right
* ``builder``   how one builder process brings its tables up to date
* ``reading``   how the tables are read from Python
* ``options``   what can be asked for on the command line, in the environment and in ``.env``
* ``due``       what has to be done for an asset in a table, and why
* ``store``     how PostgreSQL is read and written
* ``server``    how the embedded PostgreSQL is started and stopped
* ``core``      how bars and averages are computed from arrays

Below them are single modules: ``errors``, ``wording``, ``families``, ``shapes``, ``legs``, ``catalog``, ``records``,
``stop``, ``outlet``, ``printing``, ``forks`` and ``installation``.
"""

from importlib import import_module

_FOR_READERS = {
    "connect": "refresh.reading.connecting",
    "Database": "refresh.reading.database",
    "Frame": "refresh.reading.frame",
    "RefreshError": "refresh.errors",
}
"""Where a name of the door is from. Every process imports this module, and few of them read: so none is loaded yet."""
__all__ = ["Database", "Frame", "RefreshError", "connect"]


def __getattr__(name: str) -> object:
    """Load what a reader asks for. Raises ``AttributeError`` for any other name."""
    if name not in _FOR_READERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_FOR_READERS[name]), name)
