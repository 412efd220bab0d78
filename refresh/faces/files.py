"""Files that people name on the command line, written in one piece."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from refresh.errors import SettingsError


def write_whole(text: str, target: str, option: str) -> None:
    """Write a file in one piece: whoever reads it finds the old one or the new one, never a part.

    What is no file, such as a pipe, is written into. Raises ``SettingsError`` that names the option where that cannot
    be done.
    """
    path = Path(target).resolve()
    made = None
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            made = Path(file.name)
            file.write(text)
        made.chmod(0o666 & ~_umask())
        made.replace(path)
    except OSError as error:
        if made:
            with suppress(OSError):
                made.unlink()
        raise SettingsError(f"{option} {target}: {error.strerror}; name a file that can be written") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
