"""Files that users name on the command line, written in one piece."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from refresh.errors import SettingsError


def write_whole(text: str, target: str, option: str) -> None:
    """Write a file in one piece: readers find the old content or the new one, never a part.

    What is no regular file, such as a pipe, is written to. Raises ``SettingsError``, with the option, if the file
    cannot be written.
    """
    path = Path(target).resolve()
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
        else:
            _replace(path, text)
    except OSError as error:
        raise unwritable(target, option, error) from None


def unwritable(target: str, option: str, error: OSError) -> SettingsError:
    """The error about a file that cannot be written."""
    return SettingsError(f"{option} {target}: {error.strerror}; name a file that can be written")


def _replace(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        written = Path(file.name)
    try:
        written.write_text(text, encoding="utf-8")
        written.chmod(0o666 & ~_umask())
        written.replace(path)
    except OSError:
        with suppress(OSError):
            written.unlink()
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
