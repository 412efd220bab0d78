"""A validation that recomputes assets: whole, of a sample, and of assets that are up to date."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime

from refreshing import TARGETS, moved, open_scopes, refresh
from sqlalchemy import Engine, text
from validate.varied_prices import FILL, IDS, finding, last_row, shown

from refresh.catalog import SOURCE
from refresh.options.request import Request
from refresh.store.tables import TARGET_TABLES
from refresh.validate.finding import Finding, Validity
from refresh.validate.validation import validate

TODAY = date(2030, 1, 1)


def whole(
    varied_engine: Engine, number: int | None = len(IDS), ids: Sequence[int] = IDS, today: date = TODAY
) -> Validity:
    """A validation that recomputes some assets."""
    return validate(varied_engine, open_scopes(varied_engine), ids, number, today)


def test_right_database_has_no_finding(varied_engine: Engine) -> None:
    """Nothing is wrong, every asset is judged, and nothing is written."""
    before = moved(varied_engine)
    validity = whole(varied_engine)
    assert (validity.findings, validity.pending) == ((), ())
    assert (validity.judged, validity.recomputed) == (2, IDS)
    assert moved(varied_engine) == before


def test_appended_database_has_no_finding(varied_engine: Engine) -> None:
    """Days that were appended one by one, and others that were changed afterwards, are right."""
    for day in range(76, 80):
        with varied_engine.begin() as connection:
            fill = FILL.replace("asset * 3, 75", f"{day}, {day}")
            connection.execute(text(fill), {"assets": list(IDS)})
        refresh(varied_engine)
    with varied_engine.begin() as connection:
        connection.execute(text(f"UPDATE {SOURCE} SET close = close * 1.01 WHERE id = 1 AND timeclose < '2024-02-02Z'"))
        connection.execute(text(f"DELETE FROM {SOURCE} WHERE id = 2 AND timeclose < '2024-01-20Z'"))
    refresh(varied_engine, Request(accept_restatement=True))
    validity = whole(varied_engine)
    assert (validity.findings, validity.pending) == ((), ())


def test_wrong_values_are_found_by_a_whole_validation(varied_engine: Engine) -> None:
    """A value that breaks no law is found in every table if its asset is recomputed, and only then."""
    expected: list[Finding] = []
    with varied_engine.begin() as connection:
        for table in TARGETS:
            column = "d2_roll" if "d2_roll" in TARGET_TABLES[table].columns else "volume"
            row = last_row(connection, table, f'id = 2 AND "{column}" IS NOT NULL')
            before, value = shown(connection, table, column, row.only)
            update = text(f"""UPDATE {table} SET "{column}" = :value WHERE {row.only}
                              RETURNING to_jsonb("{column}")""")
            after = connection.execute(update, {"value": math.nextafter(value, math.inf)}).scalar_one()
            expected.append(finding(table, row, before, f"{column} {after}"))
    assert list(whole(varied_engine).findings) == expected
    assert whole(varied_engine, ids=(1,)).findings == ()
    assert whole(varied_engine, 0).findings == ()


def test_sample_rotates(varied_engine: Engine) -> None:
    """By default one asset is recomputed, another one each day."""
    days = [date(2030, 1, day) for day in (1, 2)]
    assert {whole(varied_engine, None, today=day).recomputed for day in days} == {(1,), (2,)}


def test_what_is_due_is_not_judged(varied_engine: Engine) -> None:
    """An asset whose source has changed is named and left alone, others are not."""
    time = datetime.fromisoformat("2024-02-20T23:59:59.999Z")
    revise = f"UPDATE {SOURCE} SET close = 51 WHERE id = 2 AND timeclose = :time"
    spoil = 'UPDATE cmc_price_bars_1d SET close = close + 0.001 WHERE "timestamp" = :time'
    with varied_engine.begin() as connection:
        for statement in (revise, spoil):
            connection.execute(text(statement), {"time": time})
    validity = whole(varied_engine)
    assert (validity.pending, validity.recomputed) == ((2,), (1,))
    assert {(wrong.table, wrong.id, wrong.time) for wrong in validity.findings} == {("cmc_price_bars_1d", 1, time)}
