"""The examples of docstrings, on the sample."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

import refresh


@pytest.mark.parametrize("name", ["database", "frame"])
def test_examples_of_docstrings(db: refresh.Database, name: str) -> None:
    """Each example prints what its docstring says."""
    module = import_module(f"refresh.reading.{name}")
    results = doctest.testmod(module, extraglobs={"db": db})
    assert results.attempted > 0
    assert results.failed == 0
