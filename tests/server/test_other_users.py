"""The embedded server beside other users of the machine: what they cannot reach, and what of theirs is not used."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from other_users import BECOME_USER, as_root, ordinary_user, public_folder

from refresh.server.embedded import lease
from refresh.server.programs import binaries, major_version, usable

pytestmark = as_root
CHECKOUT = Path(__file__).resolve().parents[2]
STRANGER = 123_456
ENTER = """
import os, socket, sys
os.setgroups([])
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
def denied(act):
    try:
        act()
    except PermissionError:
        return True
    return False
folder = sys.argv[2]
line = socket.socket(socket.AF_UNIX)
print(denied(lambda: os.listdir(folder)), denied(lambda: line.connect(folder + "/.s.PGSQL.5432")),
      denied(lambda: open(folder + ".gate")), denied(lambda: open(folder + ".users")))
"""
LEASE = """
from refresh.errors import EmbeddedServerError
try:
    with lease(os.environ):
        print("served")
except EmbeddedServerError as error:
    print(error)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder to which everybody can write."""
    with public_folder() as path:
        path.chmod(0o777)
        yield path


@contextmanager
def listening(path: Path) -> Iterator[list[bytes]]:
    """A server of a stranger on a socket. Yields what it receives."""
    received: list[bytes] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                line, _ = listener.accept()
                with line:
                    received.append(line.recv(1024))

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o777)
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield received
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_strangers_stay_outside(folder: Path) -> None:
    """Another user can neither list the data, nor connect to the server, nor hold the locks of those who use it."""
    with lease({"REFRESH_DATA_DIR": str(folder), "PATH": os.environ["PATH"]}) as server:
        command = [sys.executable, "-c", ENTER, str(STRANGER), str(server.directory)]
        tried = subprocess.run(command, capture_output=True, text=True, check=True)
    assert tried.stdout.split() == ["True"] * 4


def test_data_of_a_stranger_is_not_used(folder: Path) -> None:
    """A cluster that another user has put where ours would be is refused, and nobody connects to its server."""
    programs = usable(binaries({}), folder / "cluster").folder
    theirs = folder / f"pg{major_version(programs)}"
    theirs.mkdir(mode=0o755)
    (theirs / "PG_VERSION").write_text("18\n")
    lines = [os.getpid(), theirs, 0, 5432, theirs]
    (theirs / "postmaster.pid").write_text("".join(f"{line}\n" for line in lines))
    with listening(theirs / ".s.PGSQL.5432") as received:
        for path in (theirs, *theirs.iterdir()):
            os.chown(path, STRANGER, STRANGER)
        environ = {"REFRESH_DATA_DIR": str(folder), "PG_BIN_DIR": str(programs), "PATH": os.environ["PATH"]}
        command = [sys.executable, "-c", BECOME_USER + LEASE, *ordinary_user()]
        tried = subprocess.run(
            command, env=environ, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=30
        )
    assert tried.stdout == (
        f"the data in {theirs} belongs to user {STRANGER}: set REFRESH_DATA_DIR to a folder of your own\n"
    )
    assert received == []
