"""psql on the database that a refresh would use: ``python -m refresh.commands.psql [argument of psql ...]``.

An embedded server runs for the length of the session. What the database contains, this module does not know.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from refresh import printing
from refresh.errors import ExitCode, RefreshError
from refresh.options.environment import settings
from refresh.server.psql import find_psql, run_psql
from refresh.stop import TerminatedError, raising
from refresh.store import database
from refresh.store.address import read_address
from refresh.store.server_errors import ASSET_ERRORS, first_line
from refresh.wording import escaped


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one session of psql. Returns its exit code, or 3 if it cannot start."""
    try:
        with raising():
            return _session(arguments, environ)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except TerminatedError as error:
        return error.exit_code
    except RefreshError as error:
        return _cannot_start(str(error))
    except (OSError, *ASSET_ERRORS) as error:
        return _cannot_start(first_line(error))


def _cannot_start(reason: str) -> int:
    print(f"error: {escaped(reason)}", file=sys.stderr)
    return ExitCode.CANNOT_START


def _session(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    merged = settings(environ)
    with database.opened(None, merged, "psql") as opened:
        opened.engine.dispose()  # psql has a connection of its own
        program = find_psql(merged, is_embedded=opened.embedded is not None)
        return run_psql(program, read_address(opened.url).parameters, arguments=arguments, environ=environ)


if __name__ == "__main__":
    sys.exit(printing.run(lambda: main(sys.argv[1:], os.environ)))
