"""psql: which one is used, and a session of it in the foreground. What is asked in it, this module does not know."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from psycopg2.extensions import make_dsn

from refresh.errors import CannotStartError, EmbeddedServerError
from refresh.server.programs import WHEEL, binaries, search_path

_SECRETS = {"password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret"}


def find_psql(environ: Mapping[str, str], *, is_embedded: bool) -> Path:
    """The psql for a server: the embedded one prefers the psql beside its programs, any other the one on ``PATH``.

    Raises ``CannotStartError`` if both are missing.
    """
    folders = [search_path(environ)]
    with suppress(EmbeddedServerError):
        folders.append(str(binaries(environ)))
    if is_embedded:
        folders.reverse()
    program = shutil.which("psql", path=os.pathsep.join(filter(None, folders)))
    if program is None:
        raise CannotStartError(
            f"no psql found: it is neither on PATH nor in PG_BIN_DIR nor in the package {WHEEL}; "
            f"install a PostgreSQL client"
        )
    return Path(program)


def run_psql(
    program: Path, parameters: Mapping[str, Any], *, arguments: Sequence[str], environ: Mapping[str, str]
) -> int:
    """Run psql in the foreground, on the database that ``parameters`` of libpq describe. Returns its exit code.

    Every user can read a command line, so the password is passed in the environment. libpq reads no other secret
    from there: psql itself asks for the passphrase of a key.
    """
    public = {name: value for name, value in parameters.items() if name not in _SECRETS}
    command = [str(program), "--dbname", make_dsn(**public), *arguments]
    environ = dict(environ)
    if password := parameters.get("password"):
        environ["PGPASSWORD"] = password
    with _interrupts_ignored(), subprocess.Popen(command, env=environ) as process:
        try:
            code = process.wait()
        finally:
            process.terminate()  # does nothing unless a signal ended the wait
    if code < 0:
        return 128 - code  # as a shell reports a process that a signal ended
    return code


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Leave Ctrl-C to a program in the foreground, which gets the same signal; unlike SIG_IGN, it is not inherited."""
    previous = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
