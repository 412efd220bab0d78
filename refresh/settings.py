"""Settings: what the environment says, over what a file ``.env`` says."""

from __future__ import annotations

from collections.abc import Mapping

from dotenv import dotenv_values


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment over what ``.env`` in the current folder holds; empty values count as unset."""
    merged = {**dotenv_values(".env"), **environ}
    return {name: value for name, value in merged.items() if value}
