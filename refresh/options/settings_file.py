"""Files of settings: where they lie, who may have written them, and what they say.

A file can name programs that are run and databases that are written to, so nobody else may have written it: it belongs
to the user of this process, to root, or to whoever the programs themselves belong to. No message repeats a value.
"""

from __future__ import annotations

import grp
import io
import os
import pwd
import stat
from collections import ChainMap
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from dotenv.parser import Binding, parse_stream
from dotenv.variables import parse_variables

import refresh
from refresh.errors import SettingsError
from refresh.installation import settings_folders
from refresh.wording import nearest

FILE = ".env"
_OURS = ("REFRESH_", "TARGET_")
"""How names begin that no other program uses: one that is unknown is misspelt."""
_LARGEST = 1 << 20


def places() -> list[Path]:
    """Where settings are looked for, the first place before the second."""
    return [folder / FILE for folder in settings_folders()]


def read_settings(path: Path, known: Collection[str]) -> dict[str, str]:
    """What a file says, by name. Raises ``SettingsError`` for a file that is broken or not to be believed."""
    bindings = list(parse_stream(io.StringIO(believed_text(path, "--config"))))
    for binding in bindings:
        if problem := _problem(binding, known):
            blank_lines = len(binding.original.string) - len(binding.original.string.lstrip("\n"))
            raise SettingsError(f"{path}, line {binding.original.line + blank_lines}: {problem}")
    return {name: value for name, value in _resolved(path, bindings).items() if value}


def _resolved(path: Path, bindings: Iterable[Binding]) -> dict[str, str]:
    """The values, with those of other names in the place of ``${NAME}``: of lines above, else of the environment.

    dotenv itself takes a time that grows with the square of the lines, and values may grow without end.
    """
    resolved: dict[str, str] = {}
    known, room = ChainMap[str, Any](resolved, os.environ), _LARGEST
    for binding in bindings:
        parts = []
        for atom in parse_variables(binding.value or ""):
            parts.append(atom.resolve(known))
            room -= len(parts[-1])
            if room < 0:
                line = f"{path}, line {binding.original.line}"
                raise SettingsError(f"{line}: with what its ${{...}} stand for, it is too long; shorten it")
        if binding.key:
            resolved[binding.key] = "".join(parts)
    return resolved


def _problem(binding: Binding, known: Collection[str]) -> str:
    """What is wrong with a line."""
    key, value = binding.key or "", binding.value or ""
    if binding.error or (key in known and binding.value is None) or "=" in key or "\0" in key + value:
        return "this is no setting; write NAME=value, with quotes around a value that has spaces or # in it"
    if binding.key and binding.key.startswith(_OURS) and binding.key not in known:
        return f"there is no such setting; {nearest(binding.key, known)}"
    return ""


def believed_text(path: Path, option: str) -> str:
    """The text of a file that nobody else can have written; ``option`` names another one. Raises ``SettingsError``."""
    try:
        data = _believed(path, option)
    except OSError as error:
        raise SettingsError(
            f"{path}: {error.strerror}; let this user read it, or name another file: {option}"
        ) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        encoding = "UTF-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "another encoding"
        raise SettingsError(f"{path} is written in {encoding}; save it as UTF-8") from None


def _believed(path: Path, option: str) -> bytes:
    """The bytes of a file that nobody else can have written. Opening it never waits, as it would for a pipe."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise SettingsError(f"{path} is no regular file; name one with {option}")
        if other := _other_writer(status):
            raise SettingsError(
                f"{path} could have been written by {other}, so it is not believed; "
                f"make it your own: chown {os.geteuid()} and chmod 600"
            )
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise SettingsError(f"{path} has more than {_LARGEST:,} bytes, as no file of settings has; name another")
    return data


def _other_writer(status: os.stat_result) -> str:
    """Who else could have written a file; empty if nobody."""
    trusted = {0, os.geteuid(), Path(refresh.__file__).stat().st_uid}
    if status.st_uid not in trusted:
        return f"user {_user_name(status.st_uid)}"
    if status.st_mode & stat.S_IWOTH:
        return "every user"
    if status.st_mode & stat.S_IWGRP and not _members(status.st_gid) <= trusted:
        return f"the group {status.st_gid}"
    return ""


def _members(gid: int) -> set[int]:
    """The users of a group; of one that has no name, nobody knows them."""
    try:
        named = grp.getgrgid(gid).gr_mem
        return {user.pw_uid for user in pwd.getpwall() if user.pw_gid == gid or user.pw_name in named}
    except KeyError:
        return {-1}


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
