"""Where the data of the embedded server is."""

from __future__ import annotations

import json
import pwd
import subprocess
import sys
from pathlib import Path

from other_users import BECOME_USER, ordinary_uid, ordinary_user

from refresh.server.cluster import data_directory

CHECKOUT = Path(__file__).resolve().parents[2]
PRINT_FOLDERS = """
folders = [str(data_directory({}))]
os.environ["HOME"] = ""
folders.append(str(data_directory({})))
print(json.dumps(folders))
"""


def test_home_comes_from_the_password_database() -> None:
    """The home of an ordinary user is known even if ``HOME`` is unset or empty."""
    command = [sys.executable, "-c", BECOME_USER + PRINT_FOLDERS, *ordinary_user()]
    result = subprocess.run(command, env={}, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    home = pwd.getpwuid(ordinary_uid()).pw_dir
    for folder in json.loads(result.stdout):
        assert folder.startswith(home)
        assert folder.endswith("/daily-refresh")


def test_data_directory_can_be_chosen() -> None:
    """``REFRESH_DATA_DIR`` takes precedence over the platform's folder; empty, it counts as unset."""
    assert data_directory({"REFRESH_DATA_DIR": "/data/prices"}) == Path("/data/prices")
    assert data_directory({"REFRESH_DATA_DIR": ""}) == data_directory({})
