"""Every setting with its value and where it is from. Opens no database, and shows no secret."""

from __future__ import annotations

from collections.abc import Iterator

from refresh.errors import ExitCode
from refresh.options.declaration import Setting
from refresh.options.environment import Settings, every_setting
from refresh.options.request import OPTIONS, Request
from refresh.options.values import URL
from refresh.store.address import read_address

_HIDDEN = "set, but not shown"
_UNSET = "the default"


def show_settings(request: Request, environ: Settings) -> int:
    """Print a line per setting, and which files were read. Returns the exit code. Raises ``SettingsError``."""
    rows = [("setting", "value", "from"), *_rows(request, environ)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    print(f"\nThe command line comes first, then the environment, then {environ.places}.")
    return ExitCode.DONE


def _rows(request: Request, environ: Settings) -> Iterator[tuple[str, str, str]]:
    typed = {}
    for option in OPTIONS:
        if option.name in request.given - request.from_environment:
            typed[option.environment] = option
    for setting in every_setting():
        if setting.name in typed:
            option = typed[setting.name]
            yield setting.name, _shown(setting, option.value.show(getattr(request, option.name))), option.flag
        elif setting.name in environ:
            yield setting.name, _shown(setting, environ[setting.name]), environ.origin(setting.name)
        else:
            yield setting.name, setting.default, _UNSET
    for name in environ.of_libpq:
        yield name, _HIDDEN, environ.origin(name)


def _shown(setting: Setting, value: str) -> str:
    if setting.value is URL:
        return read_address(value).shown
    return _HIDDEN if setting.is_secret else value
