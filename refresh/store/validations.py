"""The results of validations, which are kept like those of runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from refresh.installation import VERSION
from refresh.store.statements import relation
from refresh.store.tables import METADATA, VALIDATIONS

_MAY_WRITE = text(f"""
    SELECT NOT pg_is_in_recovery() AND coalesce(has_table_privilege({relation(":name")}, 'INSERT'), false)
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Validated:
    """A validation: the run that it belongs to or is, and what it found as the JSON document has it."""

    run_id: str
    judged: int
    recomputed: Sequence[int]
    pending: Sequence[int]
    seconds: float
    findings: Sequence[Any]


def may_keep_validations(connection: Connection) -> bool:
    """Whether results can be kept: not on a standby, not by a role that may not write here, nor without the table."""
    return bool(connection.execute(_MAY_WRITE, {"name": VALIDATIONS}).scalar_one())


def keep_validation(connection: Connection, validated: Validated) -> None:
    """Keep a result."""
    row = {
        "run_id": validated.run_id,
        "judged": validated.judged,
        "recomputed": list(validated.recomputed),
        "pending": list(validated.pending),
        "seconds": validated.seconds,
        "findings": json.loads(json.dumps(validated.findings)),
        "program_version": VERSION,
    }
    connection.execute(METADATA.tables[VALIDATIONS].insert(), row)
