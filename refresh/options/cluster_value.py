"""Where builders are started, as it is typed."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError

from refresh.options.values import ValueKind, read_text
from refresh.wording import quoted

_LAST_PORT = 65_535


def _read_cluster(text: str) -> str:
    """Where builders are started; ports and numbers are those that machines have."""
    address = re.fullmatch(r"(?:tcp|tls)://(?:[^\s/:@]+|\[[0-9a-fA-F:.]+\]):([0-9]{1,5})", read_text(text))
    local = re.fullmatch(r"local:([0-9]{1,4})", text)
    number = int((address or local or [0, 0])[1])
    if not 0 < number <= _LAST_PORT:
        raise ArgumentTypeError(f"{quoted(text)} is neither a scheduler such as tcp://10.0.0.5:8786 nor local:4")
    return text


CLUSTER = ValueKind(metavar="WHERE", read=_read_cluster)
