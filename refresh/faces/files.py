"""Files that users name on the command line, written in one piece."""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from refresh.errors import SettingsError
from refresh.faces.paths import check_replaceable, followed, is_stream

SECONDS_TO_BE_READ = 30.0
"""How long a named pipe may have no reader."""
_SECONDS_BETWEEN_TRIES = 0.05
_OWN_DESCRIPTOR = re.compile("/proc/self/fd/([0-9]+)")
_TRIAL = b" " * 65_536


def check(target: str, option: str) -> None:
    """Raise ``SettingsError``, with the option, if a file cannot be written there as things are."""
    try:
        path = followed(Path(target))
        if is_stream(path):
            path.stat()
            return
        check_replaceable(path)
        with tempfile.TemporaryFile(dir=path.parent) as trial:
            trial.write(_TRIAL)
    except OSError as error:
        raise unwritable(target, option, error) from None


def write_whole(text: str, target: str, option: str) -> None:
    """Write a file in one piece: readers find the old content or the new one, never a part.

    What is no regular file, such as a pipe, is written to. Raises ``SettingsError``, with the option, if the file
    cannot be written.
    """
    try:
        path = followed(Path(target))
        if is_stream(path):
            _send(text, path)
        else:
            _replace(path, text)
    except OSError as error:
        raise unwritable(target, option, error) from None


def unwritable(target: str, option: str, error: OSError) -> SettingsError:
    """The error about a file that cannot be written."""
    return SettingsError(f"{option} {target}: {error.strerror}; name a file that can be written")


def _send(text: str, path: Path) -> None:
    with os.fdopen(_opened(path), "w", encoding="utf-8") as stream:
        stream.write(text)


def _opened(path: Path) -> int:
    """A stream, opened to append. A pipe without a reader would let the opener wait for ever."""
    if own := _OWN_DESCRIPTOR.fullmatch(str(path)):
        return os.dup(int(own[1]))  # opened again, a file would be written to from its beginning
    deadline = time.monotonic() + SECONDS_TO_BE_READ
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            if error.errno != errno.ENXIO or not path.is_fifo():
                raise
            if time.monotonic() > deadline:
                raise OSError(errno.ENXIO, "Nobody reads the pipe") from None
            time.sleep(_SECONDS_BETWEEN_TRIES)
            continue
        os.set_blocking(descriptor, True)
        return descriptor


def _replace(path: Path, text: str) -> None:
    file = _beside(path)
    try:
        with file:
            file.write(text)
        Path(file.name).replace(path)
    except OSError:
        with suppress(OSError):
            Path(file.name).unlink()
        raise


def opened_anew(path: Path) -> IO[str]:
    """A new file in the place of the old one, to which lines are written as they come."""
    file = _beside(path)
    try:
        Path(file.name).replace(path)
    except OSError:
        file.close()
        Path(file.name).unlink()
        raise
    return file


def _beside(path: Path) -> IO[str]:
    """A new file in the folder of another one, with its mode and owner; without it as the umask says."""
    check_replaceable(path)
    file = tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8", buffering=1)  # noqa: SIM115
    status = path.lstat() if path.exists() and not path.is_symlink() else None
    if status is None:
        os.fchmod(file.fileno(), 0o666 & ~_umask())
        return file
    with suppress(OSError):  # only root may give files away
        os.fchown(file.fileno(), status.st_uid, status.st_gid)
    os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode) & 0o777)
    return file


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
