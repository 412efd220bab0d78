"""A PostgreSQL cluster on disk: where its data is, the files beside it, its pid file and its sockets.

Which processes use the server, and what it stores, this module does not know.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from refresh.errors import EmbeddedServerError, shortage
from refresh.installation import data_folder
from refresh.server.programs import Programs, binaries, is_known, major_version, open_private, usable

PORT = 5432
"""Part of the name of a socket, although nothing listens on TCP."""
_SOCKET_PATH_LIMIT = 103  # bytes; 107 on Linux


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """The directory of the data, and the programs that serve it."""

    directory: Path
    programs: Programs

    @property
    def is_initialised(self) -> bool:
        """Whether ``initdb`` completed."""
        return (self.directory / "PG_VERSION").exists()

    @property
    def pid_file(self) -> Path:
        """The file that PostgreSQL writes while it runs."""
        return self.directory / "postmaster.pid"

    @property
    def users_file(self) -> Path:
        """The file on which each user of the server holds a shared lock."""
        return _sibling(self.directory, ".users")

    def run(self, program: str, *arguments: str | Path) -> None:
        """Run a program on the cluster. Raises ``EmbeddedServerError``."""
        self.programs.run(program, *arguments, data=self.directory, log=_sibling(self.directory, ".log"))

    def initialise(self) -> None:
        """Create the data in a temporary folder and rename it, so that a killed ``initdb`` leaves no partial data.

        Raises ``EmbeddedServerError``, also for a user whom the system does not know, as in many containers.
        """
        if not is_known(os.geteuid()):
            raise EmbeddedServerError(
                f"user {os.geteuid()} has no entry in /etc/passwd, without which PostgreSQL creates no data: "
                f"add one, start as another user, or set TARGET_DB_URL to use your own server"
            )
        unfinished = Path(tempfile.mkdtemp(prefix=self._unfinished.name, dir=self.directory.parent))
        try:
            self.programs.change_owner(unfinished)
            self.run("initdb", "-D", unfinished, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale")
            unfinished.rename(self.directory)
        finally:
            self.remove_unfinished()

    def remove_unfinished(self) -> None:
        """Remove what killed users left. An ``initdb`` that outlives its user may leave more for the next call."""
        for folder in self._unfinished.parent.glob(f"{self._unfinished.name}*"):
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def _unfinished(self) -> Path:
        """The path with which the names of temporary folders begin."""
        return _sibling(self.directory, ".new-")

    def read_pid_file(self) -> tuple[int, Path | None]:
        """The pid and the socket folder in the pid file; 0 and ``None`` if it is absent or not completely written."""
        try:
            pid, _, _, _, sockets, *_ = self.pid_file.read_text().splitlines()
            return int(pid), Path(sockets) if sockets else None
        except (FileNotFoundError, ValueError):
            return 0, None

    def socket_folder(self) -> Path:
        """The data directory, which is private; if its path is too long or odd, a private folder in ``/tmp``."""
        path = f"{self.directory}/.s.PGSQL.{PORT}"
        if len(path) <= _SOCKET_PATH_LIMIT and re.fullmatch(r"[\w./-]+", path, re.ASCII):
            return self.directory
        owner = self.directory.stat().st_uid
        digest = hashlib.sha256(bytes(self.directory)).hexdigest()[:12]
        usual = Path(f"/tmp/daily-refresh-{owner}-{digest}")  # noqa: S108 - its owner and mode are checked
        with suppress(FileExistsError):
            usual.mkdir(mode=0o700)
            self.programs.change_owner(usual)
        if _is_private(usual, owner):
            return usual
        another = Path(tempfile.mkdtemp(prefix=f"{usual.name}-", dir=usual.parent))  # another user owns the usual one
        self.programs.change_owner(another)
        return another


def open_cluster(environ: Mapping[str, str]) -> Cluster:
    """The cluster of this user, not yet initialised if it is new. Raises ``EmbeddedServerError``."""
    programs = binaries(environ)
    folder = data_directory(environ)
    directory = folder / f"pg{major_version(programs)}"  # each version reads only its own data format
    try:
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755 if os.geteuid() == 0 else 0o700)
        with startup_lock(directory):
            _refuse_strange(directory)
            return Cluster(directory=directory, programs=usable(programs, directory))
    except OSError as error:
        if error.errno in {errno.EMFILE, errno.EAGAIN}:
            raise EmbeddedServerError(shortage(error)) from error
        raise EmbeddedServerError(
            f"the data directory {folder} cannot be used ({error}): set REFRESH_DATA_DIR to a writable folder"
        ) from error


def _refuse_strange(directory: Path) -> None:
    """Raise ``EmbeddedServerError`` for the data of another user, whose pid file could name a server of theirs.

    Root uses the data of any user, as that user.
    """
    with suppress(FileNotFoundError):
        owner = directory.stat().st_uid
        if os.geteuid() not in {0, owner}:
            raise EmbeddedServerError(
                f"the data in {directory} belongs to user {owner}: set REFRESH_DATA_DIR to a folder of your own"
            )


def data_directory(environ: Mapping[str, str]) -> Path:
    """The folder of the clusters: ``REFRESH_DATA_DIR``, else the platform's folder for the data of this user.

    Root's data is not in its home, because the user that runs root's server has no access to it.
    """
    if chosen := environ.get("REFRESH_DATA_DIR"):
        return Path(chosen).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/daily-refresh")
    if folder := data_folder():
        return folder
    raise EmbeddedServerError(f"user {os.geteuid()} has no home folder: set REFRESH_DATA_DIR")


@contextmanager
def startup_lock(directory: Path) -> Iterator[None]:
    """An exclusive lock for the length of the block, without which no server in ``directory`` is started or stopped."""
    with open_private(_sibling(directory, ".gate")) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def listens(sockets: Path) -> bool:
    """Whether a process listens on the socket in a folder."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(sockets / f".s.PGSQL.{PORT}"))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True


def _sibling(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _is_private(folder: Path, owner: int) -> bool:
    status = folder.lstat()
    is_open_to_others = stat.S_IMODE(status.st_mode) & 0o077
    return stat.S_ISDIR(status.st_mode) and status.st_uid == owner and not is_open_to_others
