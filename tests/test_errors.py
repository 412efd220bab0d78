"""Errors and exit codes: each error class knows its code, each code has a meaning."""

from __future__ import annotations

import inspect

import pytest

from refresh import errors
from refresh.errors import ExitCode, RefreshError

CLASSES = [member for _, member in inspect.getmembers(errors, inspect.isclass) if issubclass(member, RefreshError)]


def test_codes() -> None:
    """The codes are those that callers of the programs rely on; 128 and a signal's number end a stopped one."""
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "FAILED": 1,
        "USAGE": 2,
        "CANNOT_START": 3,
        "INVALID": 4,
        "ALREADY_RUNNING": 75,
        "HUNG_UP": 129,
        "INTERRUPTED": 130,
        "TERMINATED": 143,
    }


def test_codes_of_errors() -> None:
    """Every error ends a process with a code of the enum; those of one kind share it."""
    codes = {error.__name__: error.exit_code for error in CLASSES}
    assert {type(code) for code in codes.values()} == {ExitCode}
    assert codes == {
        "RefreshError": ExitCode.FAILED,
        "SequenceError": ExitCode.FAILED,
        "ViolationError": ExitCode.FAILED,
        "ReadingError": ExitCode.FAILED,
        "MissingPackageError": ExitCode.FAILED,
        "UsageError": ExitCode.USAGE,
        "CannotStartError": ExitCode.CANNOT_START,
        "SettingsError": ExitCode.CANNOT_START,
        "DatabaseUnreachableError": ExitCode.CANNOT_START,
        "PoolingError": ExitCode.CANNOT_START,
        "EmbeddedServerError": ExitCode.CANNOT_START,
        "SchemaError": ExitCode.CANNOT_START,
        "DimensionError": ExitCode.CANNOT_START,
        "AlreadyRunningError": ExitCode.ALREADY_RUNNING,
    }


@pytest.mark.parametrize("code", ExitCode, ids=lambda code: code.name)
def test_every_code_has_a_meaning(code: ExitCode) -> None:
    """A code is a number with a meaning in words, in one line and different from all others."""
    assert isinstance(code, int)
    assert code.meaning == code.meaning.strip()
    assert "\n" not in code.meaning
    assert [other for other in ExitCode if other.meaning == code.meaning] == [code]


@pytest.mark.parametrize("error", [MemoryError(), OSError(24, "Too many open files"), ImportError("of no memory")])
def test_shortages_are_told_in_a_line(error: Exception) -> None:
    """Whatever the system does not give ends a program in one line, which is not empty."""
    assert isinstance(error, errors.SHORTAGES)
    assert errors.shortage(error).splitlines() == [errors.shortage(error)] != [""]


def test_no_failure_exits_with_0() -> None:
    """Only a run that did everything exits with 0."""
    assert [error for error in CLASSES if error.exit_code == 0] == []
