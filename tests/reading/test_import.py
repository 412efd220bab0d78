"""The door of the package: light for every process, typed for readers."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.resources import files
from typing import assert_type

import pytest
from programs import PROJECT

import refresh
from refresh.reading.connecting import connect

LOADED = """
import sys
before = set(sys.modules)
import refresh
print(*sorted(name.partition(".")[0] for name in set(sys.modules) - before))
"""


def test_import_loads_nothing() -> None:
    """Every builder imports the package, so its door loads no library and no room."""
    result = subprocess.run([sys.executable, "-c", LOADED], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert set(result.stdout.split()) - sys.stdlib_module_names == {"refresh"}


def test_names_of_the_door() -> None:
    """What the stub for type checkers declares is there, and nothing else is."""
    stub = ast.parse((files("refresh") / "__init__.pyi").read_text(encoding="utf-8"))
    declared = {alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert declared == set(refresh.__all__)
    assert all(getattr(refresh, name).__name__ == name for name in refresh.__all__)
    assert refresh.connect is connect
    with pytest.raises(AttributeError, match="module 'refresh' has no attribute 'conect'"):
        _ = refresh.conect  # type: ignore[attr-defined]


def test_readers_can_check_types(db: refresh.Database) -> None:
    """The package says that it is typed, and mypy, which reads this test, knows what is returned."""
    assert (files("refresh") / "py.typed").is_file()
    assert_type(db.runs(), refresh.Frame)
    assert_type(len(db.runs()), int)
    assert isinstance(db, refresh.Database)
