"""Which file a path means: a link is followed unless it is in a folder where anybody may put one.

What is written to the file, this module does not know. Whatever is wrong with a path is an ``OSError``.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

_OF_PROCESSES = Path("/proc")
"""Where links lead to open files by numbers, and cannot be followed by name."""


def followed(path: Path) -> Path:
    """The file that a path means, which need not be there; its folder has to be.

    That is a link itself in a folder that everybody can write to: whoever writes replaces it.
    """
    with suppress(FileNotFoundError):
        path.stat()  # raises for links in a circle
    while True:
        folder = _folder(path.absolute().parent)
        path = folder / path.name
        if not path.is_symlink() or is_open_to_all(folder) or _OF_PROCESSES in path.parents:
            return path
        path = folder / path.readlink()


def _folder(path: Path) -> Path:
    """A folder without links; raises ``PermissionError`` for one that anybody may have put there."""
    if not stat.S_ISDIR(path.stat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    real = Path(path.anchor)
    for name in path.parts[1:]:
        step = real.parent if name == ".." else real / name
        if step.is_symlink() and _OF_PROCESSES not in step.parents:
            if is_open_to_all(real):
                raise PermissionError(errno.EACCES, f"{step} is a link in a folder that everybody can write to")
            step = _folder(real / step.readlink())
        real = step
    return real


def is_open_to_all(folder: Path) -> bool:
    """Whether everybody can put files there."""
    return bool(folder.stat().st_mode & stat.S_IWOTH)


def is_stream(path: Path) -> bool:
    """Whether a path that was followed is written to as it is: a pipe, a device, an open file of a process."""
    if _OF_PROCESSES in path.parents:
        return True
    with suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        return not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode))
    return False


def check_replaceable(path: Path) -> None:
    """Raise ``OSError`` if a path that was followed is a folder, or a file of somebody else in a folder like /tmp."""
    try:
        status, folder = path.lstat(), path.parent.stat()
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if folder.st_mode & stat.S_ISVTX and os.geteuid() not in {0, folder.st_uid, status.st_uid}:
        raise PermissionError(errno.EPERM, "the file of somebody else cannot be replaced there")
