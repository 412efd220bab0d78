"""What the tests of options share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from refresh.errors import UsageError
from refresh.options.builders import selected
from refresh.options.declaration import Program
from refresh.options.parsing import parse

Refusal = Callable[[Program, Sequence[str]], str]


@pytest.fixture(scope="session")
def refusal() -> Refusal:
    """The message for a command line that is refused: one line, for exit code 2."""

    def refuse(program: Program, arguments: Sequence[str]) -> str:
        with pytest.raises(UsageError) as caught:
            selected(program, parse(program, arguments))
        assert caught.value.exit_code == 2
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return refuse
