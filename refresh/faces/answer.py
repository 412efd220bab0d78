"""The answer of a server: its status, its words, and the beginning of its body."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from refresh.wording import UNSEEN

_LONGEST_REASON = 200
_FIRST_SUCCESS, _FIRST_REDIRECTION = 200, 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The status of an answer, the server's words for it, and the beginning of a body that explains a failure."""

    status: int
    reason: str
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the request succeeded. One that is sent elsewhere, and not followed, has not."""
        return _FIRST_SUCCESS <= self.status < _FIRST_REDIRECTION

    def document(self) -> dict[str, Any]:
        """The body as a JSON object; empty if it is none."""
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}


def presentable(text: object) -> str:
    """Words of a server on one short line, without anything that would move a terminal's cursor."""
    return re.sub(f"{UNSEEN.pattern}+", " ", str(text))[:_LONGEST_REASON]
