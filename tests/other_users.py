"""Processes of another user of this machine, and folders that they can access."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

IS_ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not IS_ROOT, reason="only root can become another user")

BECOME_USER = """
import json, os, sys
from refresh.server.cluster import data_directory
from refresh.server.embedded import lease
if len(sys.argv) > 1:  # imported before: an ordinary user may have no access to root's interpreter
    os.setgroups([])
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[1]))
"""
"""The beginning of a program that takes the arguments of ``ordinary_user``."""


def ordinary_user() -> list[str]:
    """The user and group that a child of root becomes; none if this process is an ordinary user's already."""
    nobody = pwd.getpwnam("nobody")
    return [str(nobody.pw_uid), str(nobody.pw_gid)] if IS_ROOT else []


def ordinary_uid() -> int:
    """The id of that user."""
    return pwd.getpwnam("nobody").pw_uid if IS_ROOT else os.geteuid()


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder for the length of the block that every user can access."""
    folder = Path(tempfile.mkdtemp(prefix="refresh-embedded-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
