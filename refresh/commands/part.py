"""A program of ours on one of several databases: its arguments, and an environment that names that database."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from refresh.faces.alerts import CHANNELS
from refresh.options.declaration import Program
from refresh.options.environment import CONFIG
from refresh.run.programs import Part
from refresh.shards.layout import Layout

_OF_THE_WHOLE = frozenset({*CHANNELS, "REFRESH_SHARDS", "REFRESH_LOG_DIR"})
"""Settings that parts do not get: what is sent is sent once, and their logs are their own."""


def part(
    name: str,
    layout: Layout,
    address: str,
    environ: Mapping[str, str],
    program: Program,
    arguments: Sequence[str],
) -> Part:
    """The program of a shard. What files of settings say is in ``environ``, so it reads none."""
    kept = {key: value for key, value in environ.items() if key not in _OF_THE_WHOLE}
    of_shard = {"TARGET_DB_URL": address, "REFRESH_DB_VARIABLE": layout.shards[name]}
    return Part(name=name, arguments=[program.name, *arguments], environ={**kept, **of_shard, CONFIG: os.devnull})
