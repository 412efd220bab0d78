"""Whether the tables are right: a validation by itself, or after a refresh. Writes nothing but its result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from refresh.catalog import BUILDERS, legs
from refresh.commands.job import Job, complain
from refresh.due import survey
from refresh.errors import CannotStartError, ExitCode
from refresh.faces import words
from refresh.faces.document import validity_document
from refresh.run.summary import Summary
from refresh.store.database import transaction
from refresh.store.schema import looking, verify
from refresh.store.tables import METADATA, SETTINGS, VALIDATIONS
from refresh.store.validations import Validated, keep_validation, may_keep_validations
from refresh.validate.finding import Validity
from refresh.wording import listed


def validate(job: Job) -> Summary:
    """Check every table without refreshing any. No other refresh has to wait.

    Raises ``CannotStartError`` for a database that lacks one of our tables.
    """
    with looking(job.engine) as connection:
        _check_tables([table.name for table in verify(connection).tables])
    started = time.monotonic()
    validity, assets = judge(job)
    summary = Summary(
        run_id=survey.run_name(job.now),
        command=job.typed,
        started_at=job.now,
        seconds=time.monotonic() - started,
        exit_code=validity.exit_code_after(ExitCode.DONE),
        assets=assets,
        tables=len(list(legs())),
        validity=validity,
    )
    job.publish(summary)
    return summary


def _check_tables(missing: Sequence[str]) -> None:
    """Refuse to judge a database that lacks some tables: the next refresh creates and fills them."""
    if not set(METADATA.tables).difference(missing, [SETTINGS]):  # loading prices creates the settings
        raise CannotStartError("nothing has been built in this database yet; run a refresh first")
    missing = [name for name in missing if name != VALIDATIONS]  # it holds nothing to judge
    if missing:
        noun = "table" if len(missing) == 1 else "tables"
        raise CannotStartError(
            f"cannot validate without the {noun} {listed(missing)}; "
            "run a refresh, which creates and fills what is missing"
        )


def judge(job: Job) -> tuple[Validity, int]:
    """Check every table within the filters of the request. Returns the result and the number of selected assets."""
    from refresh.validate.validation import validate  # noqa: PLC0415 - it loads numpy, which a refresh does without

    with looking(job.engine, job.request.tz) as connection:
        selection = replace(job.zoned(connection).request.selection, rebuild=False)
        scopes = survey.open_scopes(connection, BUILDERS, selection, job.now)
        ids = survey.asset_ids(connection, scopes[0])
        is_kept = may_keep_validations(connection)
    number = _number_to_recompute(job.request.sample, len(ids))
    validity = validate(job.engine, scopes, ids, number, job.now.date())
    if is_kept:
        _keep(job, validity)
    if validity.is_void:  # whoever throws stdout away, as a weekly job does, has to notice it
        complain(words.void(validity))
    return validity, len(ids)


def _keep(job: Job, validity: Validity) -> None:
    document = validity_document(validity)
    names = ("judged", "recomputed", "pending", "seconds", "findings")
    validated = Validated(run_id=survey.run_name(job.now), **{name: document[name] for name in names})
    with transaction(job.engine) as connection:
        keep_validation(connection, validated)


def _number_to_recompute(sample: int | str | None, assets: int) -> int | None:
    """The number of assets to recompute; ``None`` leaves it to the validation."""
    return assets if isinstance(sample, str) else sample
