"""How the program is installed: its version, where its files lie by default, and how its user starts the parts of it.

In a checkout the files lie beside the programs; elsewhere the platform says where a user's files belong.
"""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import PlatformDirs

NAME = "daily-refresh"
"""Of the distribution, of its command, and of its folders."""
VERSION = "0.1.0"
PROGRAMS = Path(__file__).resolve().parents[1]
IN_CHECKOUT = (PROGRAMS / "run_daily_refresh.py").is_file() and (PROGRAMS / "pyproject.toml").is_file()

_IN_CHECKOUT = {
    "run": "python run_daily_refresh.py --all",
    "load": "python -m refresh.load",
    "move": "python -m refresh.commands.move",
    "shards": "python -m refresh.commands.shards",
}


def command(subcommand: str) -> str:
    """How a user starts a part of the program here, e.g. ``daily-refresh load``."""
    return _IN_CHECKOUT[subcommand] if IN_CHECKOUT else f"{NAME} {subcommand}"


def log_folder() -> Path:
    """Where logs are written unless somebody names another folder."""
    if IN_CHECKOUT:
        return PROGRAMS / ".logs"
    return _own("user_log_dir") or Path("/var/log", NAME)


def settings_folders() -> list[Path]:
    """Where settings are looked for, the first folder before the second."""
    own = _own("user_config_dir")
    return [*([PROGRAMS] if IN_CHECKOUT else []), *([own] if own else [])]


def data_folder() -> Path | None:
    """Where the data of this user lies; ``None`` for a user without a home."""
    return _own("user_data_dir")


def _own(purpose: str) -> Path | None:
    """A folder of this user; ``None`` without a home, as users have in containers whom the system does not know."""
    if not os.environ.get("HOME"):  # empty, it is no folder; without it, the system knows the home of its user
        os.environ.pop("HOME", None)
    try:
        folder = Path(getattr(PlatformDirs(NAME, appauthor=False), purpose))
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None
