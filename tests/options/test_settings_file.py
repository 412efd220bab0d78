"""Files of settings: where they are looked for, which of them are believed, and what a broken one says."""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path

import pytest

from refresh.errors import SettingsError
from refresh.installation import PROGRAMS
from refresh.options.environment import NAMES, settings
from refresh.options.settings_file import places, read_settings

SECRET = "s3cret-words"  # noqa: S105 - made up
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def written(folder: Path, text: str | bytes) -> Path:
    """A file of settings."""
    path = folder / "settings.env"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o600)
    return path


def test_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings lie in the checkout, then in the configuration folder of the user, and nowhere else."""
    monkeypatch.setenv("XDG_CONFIG_HOME", "/conf")
    assert places() == [PROGRAMS / ".env", Path("/conf/daily-refresh/.env")]
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/me")
    assert places() == [PROGRAMS / ".env", Path("/home/me/.config/daily-refresh/.env")]


def test_order(tmp_path: Path) -> None:
    """The environment comes before a file; empty values count as unset in both; each setting knows where it is from."""
    file = str(written(tmp_path, "REFRESH_TZ=Asia/Tokyo\nALERT_LEVEL=error\nALERT_URLS=\nOTHER=x\n"))
    merged = settings({"REFRESH_TZ": "UTC", "HEARTBEAT_URL": ""}, file)
    assert dict(merged) == {"REFRESH_TZ": "UTC", "ALERT_LEVEL": "error", "OTHER": "x", "REFRESH_CONFIG": file}
    assert (merged.origin("REFRESH_TZ"), merged.origin("ALERT_LEVEL")) == ("the environment", file)
    assert dict(settings({"REFRESH_CONFIG": os.devnull})) == {"REFRESH_CONFIG": os.devnull}


def test_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of the user is read, and that of a strange current folder is not."""
    (tmp_path / "daily-refresh").mkdir()
    written(tmp_path / "daily-refresh", "ALERT_LEVEL=error\n").rename(tmp_path / "daily-refresh" / ".env")
    (tmp_path / ".env").write_text("ALERT_LEVEL=critical\nREFRESH_TZ=Asia/Tokyo\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    merged = settings({})
    assert merged["ALERT_LEVEL"] == "error"
    assert merged.get("REFRESH_TZ") != "Asia/Tokyo"


BROKEN = {
    "no equals sign": (f"TARGET_DB_URL {SECRET}\n", "line 1: this is no setting"),
    "open quote": (f"A=b\n\nTARGET_DB_URL='{SECRET}\n", "line 3: this is no setting"),
    "name alone": ("REFRESH_TZ\n", "line 1: this is no setting"),
    "NUL": (f"PGOPTIONS=a\0{SECRET}\n", "line 1: this is no setting"),
    "name with an equals sign": (f"'PGA=B'={SECRET}\n", "line 1: this is no setting"),
    "growing without end": (
        "A=aaaaaaaaaaaaaaaaaaaa\n" + "".join(f"A{n}={'${A' + str(n - 1 or '') + '}'}" * 9 + "\n" for n in range(1, 30)),
        "with what its ${...} stand for, it is too long; shorten it",
    ),
    "misspelt": (f"A=b\nTARGET_DBURL={SECRET}\n", "line 2: there is no such setting; nearest: TARGET_DB_URL"),
    "ours, but unknown": ("REFRESH_DIR=/x\n", "line 1: there is no such setting; nearest: REFRESH_"),
    "Latin-1": (
        f"# größer\nTARGET_DB_URL={SECRET}\n".encode("latin-1"),
        "is written in another encoding; save it as",
    ),
    "UTF-16": (f"TARGET_DB_URL={SECRET}\n".encode("utf-16"), "is written in UTF-16; save it as UTF-8"),
    "endless": (b"A=b\n" * 400_000, "as no file of settings has"),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_file(tmp_path: Path, text: str | bytes, message: str) -> None:
    """A broken file stops the run; the error names the line, and nothing that is in it."""
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        read_settings(path, NAMES)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert SECRET not in str(caught.value)


def test_names_of_other_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``${NAME}`` is the value of a line above, else of the environment, else nothing or what follows ``:-``."""
    monkeypatch.setenv("OUTSIDE", "out")
    lines = ["A=1", "B=${A}2", "A=3", "C=${A}${B}", "D=${OUTSIDE}", "E='${LATER:-none}'", "LATER=5", "F=$A"]
    values = read_settings(written(tmp_path, "\n".join(lines)), NAMES)
    assert values == {"A": "3", "B": "12", "C": "312", "D": "out", "E": "none", "LATER": "5", "F": "$A"}


def test_many_lines(tmp_path: Path) -> None:
    """The largest file is read in seconds."""
    path = written(tmp_path, "".join(f"A{number}=b\n" for number in range(30_000)))
    started = time.monotonic()
    assert len(read_settings(path, NAMES)) == 30_000
    assert time.monotonic() - started < 60


def test_no_regular_file(tmp_path: Path) -> None:
    """A pipe is refused at once, and so is a folder; a named file has to be there."""
    os.mkfifo(tmp_path / "pipe")
    problems = {"pipe": "is no regular file; name one", ".": "Is a directory", "missing": "No such file or directory"}
    for name, problem in problems.items():
        with pytest.raises(SettingsError, match=problem):
            settings({}, str(tmp_path / name))


def test_byte_order_mark(tmp_path: Path) -> None:
    """What some editors write before the first name does no harm."""
    assert read_settings(written(tmp_path, "\ufeffREFRESH_TZ=UTC\n"), NAMES) == {"REFRESH_TZ": "UTC"}


@pytest.mark.parametrize("mode", [0o602, 0o666])
def test_file_that_everybody_can_write(tmp_path: Path, mode: int) -> None:
    """What every user could have written is not believed."""
    path = written(tmp_path, "REFRESH_TZ=UTC\n")
    path.chmod(mode)
    with pytest.raises(SettingsError, match="written by every user, so it is not believed"):
        settings({}, str(path))


@needs_root
def test_file_of_another_user(tmp_path: Path) -> None:
    """What another user, or a group with others in it, could have written is not believed."""
    path = written(tmp_path, "REFRESH_TZ=UTC\n")
    nobody = pwd.getpwnam("nobody")
    os.chown(path, nobody.pw_uid, -1)
    with pytest.raises(SettingsError, match="could have been written by user nobody"):
        settings({}, str(path))
    os.chown(path, 0, nobody.pw_gid)
    path.chmod(0o660)
    with pytest.raises(SettingsError, match=f"could have been written by the group {nobody.pw_gid}"):
        settings({}, str(path))
    path.chmod(0o640)
    assert settings({}, str(path))["REFRESH_TZ"] == "UTC"


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_unreadable_file(tmp_path: Path) -> None:
    """A file that may not be read stops the run."""
    path = written(tmp_path, "REFRESH_TZ=UTC\n")
    path.chmod(0)
    with pytest.raises(SettingsError, match="Permission denied; let this user read it"):
        settings({}, str(path))


def test_variables_of_libpq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file can set what libpq reads from the environment, which comes before the file."""
    monkeypatch.setenv("PGAPPNAME", "mine")
    monkeypatch.delenv("PGSSLMODE", raising=False)
    settings(dict(os.environ), str(written(tmp_path, "PGSSLMODE=disable\nPGAPPNAME=other\n")))
    assert (os.environ["PGSSLMODE"], os.environ["PGAPPNAME"]) == ("disable", "mine")
    monkeypatch.delenv("PGSSLMODE")
