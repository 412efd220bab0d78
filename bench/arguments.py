"""What the command lines of the benches have in common."""

from __future__ import annotations

import argparse


def positive(text: str) -> float:
    """A number above 0. Raises ``ArgumentTypeError``."""
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value
