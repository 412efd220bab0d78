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
    SELECT NOT pg_is_in_recovery() AND NOT current_setting('transaction_read_only')::bool
       AND coalesce(has_table_privilege({relation(":name")}, 'INSERT'), false)
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


def keep_validation(connection: Connection, validated: Validated) -> bool:
    """Keep a result; ``False`` if this session may only read or the table does not exist yet."""
    if not connection.execute(_MAY_WRITE, {"name": VALIDATIONS}).scalar_one():
        return False
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
    return True
