"""Running cells of Python as a notebook does, and what it shows below them."""

from __future__ import annotations

import ast
import io
from contextlib import redirect_stdout
from typing import Any

import refresh


def shown(source: str, namespace: dict[str, Any]) -> str:
    """What a cell prints, then the value of its last line, or its error in one line."""
    cell = ast.parse(source)
    last = cell.body.pop() if isinstance(cell.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with redirect_stdout(printed):
        try:
            exec(compile(cell, "cell", "exec"), namespace)  # noqa: S102 - a cell of ours
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)  # noqa: S307
                print("" if value is None else repr(value))  # noqa: T201
        except refresh.RefreshError as error:
            print(f"{type(error).__name__}: {error}")  # noqa: T201
    return printed.getvalue().strip("\n")
