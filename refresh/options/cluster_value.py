"""Where builders are started, as it is typed."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError

from refresh.options.values import ValueKind

_LAST_PORT = 65_535
_SCHEDULER = re.compile(r"(?:tcp|tls)://(?:[\w.-]+|\[[0-9a-fA-F:.]+\]):([0-9]{1,5})", re.ASCII)
_LOCAL = re.compile(r"local:([0-9]{1,4})")


def _read_cluster(text: str) -> str:
    """A scheduler or a number of workers. A message does not repeat it: it may be the address of a database."""
    found = _SCHEDULER.fullmatch(text) or _LOCAL.fullmatch(text)
    if not found or not 0 < int(found[1]) <= _LAST_PORT:
        raise ArgumentTypeError("this is neither a scheduler such as tcp://10.0.0.5:8786 nor local:4")
    return text


CLUSTER = ValueKind(metavar="WHERE", read=_read_cluster)
