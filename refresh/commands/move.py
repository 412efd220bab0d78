"""Moves averages into the present layout: ``python -m refresh.commands.move``, on the database of a refresh.

No refresh may run meanwhile. It can be stopped and started again at any time: what is packed stays packed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from refresh import printing
from refresh.catalog import Leg
from refresh.errors import SHORTAGES, ExitCode, RefreshError, shortage
from refresh.options.environment import settings
from refresh.stop import TerminatedError, raising
from refresh.store import database, layout, locks, move
from refresh.store.server_errors import ASSET_ERRORS, first_line
from refresh.wording import counted, escaped


def main(environ: Mapping[str, str]) -> int:
    """Move every table of the former layout. Returns the exit code."""
    try:
        with raising():
            return _move(settings(environ))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except TerminatedError as error:
        return error.exit_code
    except RefreshError as error:
        return _failed(str(error), error.exit_code)
    except ASSET_ERRORS as error:
        return _failed(first_line(error), ExitCode.FAILED)
    except SHORTAGES as error:
        return _failed(shortage(error), ExitCode.FAILED)


def _failed(reason: str, code: int) -> int:
    print(f"error: {escaped(reason)}", file=sys.stderr)
    return code


def _move(environ: Mapping[str, str]) -> int:
    with database.opened(None, environ, locks.session_name(datetime.now(UTC))) as opened:
        lock = locks.RefreshLock(opened.engine)
        lock.take()
        try:
            with opened.engine.connect() as connection:
                former = layout.former_legs(connection)
            if not former:
                print("nothing to move: no table is of the former layout")
            for leg in former:
                _move_leg(opened, leg)
        finally:
            lock.release()
    return ExitCode.DONE


def _move_leg(opened: database.Opened, leg: Leg) -> None:
    with database.read_committed(opened.engine) as connection:
        left = move.prepare_move(connection, leg)
    while True:
        for done, id in enumerate(left, 1):
            move.pack_asset(opened.engine, leg, id)
            print(f"{leg.target}: {done:,} of {counted(len(left), 'asset')} packed", flush=True)
        left = move.finish_move(opened.engine, leg)
        if not left:
            break
    print(f"{leg.target}: moved", flush=True)


if __name__ == "__main__":
    sys.exit(printing.run(lambda: main(os.environ)))
