"""Where builders start, as it is typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from refresh.options.declaration import Program
from refresh.options.parsing import parse


@pytest.mark.parametrize(
    "text", ["tcp://10.0.0.5:8786", "tls://scheduler.example:1", "tcp://[::1]:65535", "local:1", "local:64"]
)
def test_scheduler_or_number_of_workers(text: str) -> None:
    """A scheduler has a scheme, a host and a port; workers of this machine have a number."""
    assert parse(Program.BARS, ["--cluster", text]).cluster == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "local", "local:", "local:0", "local:-1", "local:four", "10.0.0.5:8786", "tcp://10.0.0.5", "tcp://:8786"),
        *("tcp://10.0.0.5:0", "tcp://10.0.0.5:65536", "tcp://h:8786/x", "http://h:8786", "tcp://u:secret@h:8786"),
        "postgresql://u:secret@h/prices",
    ],
)
def test_anything_else_is_refused(text: str, refusal: Callable[[Program, Sequence[str]], str]) -> None:
    """What is neither is refused with the way out, and not repeated: it may be the address of a database."""
    message = refusal(Program.BARS, [f"--cluster={text}"])
    assert "this is neither a scheduler such as tcp://10.0.0.5:8786 nor local:4" in message
    assert "secret" not in message
