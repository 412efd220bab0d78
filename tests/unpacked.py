"""Averages of a test's database changed row by row, through the views that readers see.

The views are not for writing: PostgreSQL refuses it. Here triggers carry each row that a test changes into the lane of
its series in the packed table. Bits of days are those of a series, not of an average, and the days of a timeframe are
one number for a whole series: whoever changes either changes it wherever it is shown.
"""

from __future__ import annotations

from sqlalchemy import Engine
from statements import execute

from refresh.catalog import Leg, legs

TABLES = {leg.target: leg.table for _, leg in legs()}
"""By the name that readers use, the table that a builder writes."""
PLACES = {leg.target: leg.places for _, leg in legs() if leg.averages}
"""By the name that readers use, the table of the series of packed averages."""

_WITH_ITEM = """
    CREATE OR REPLACE FUNCTION with_item(items float8[], place int, item float8) RETURNS float8[]
    LANGUAGE plpgsql IMMUTABLE AS $body$
    BEGIN
        items := coalesce(items, '{}');
        IF cardinality(items) < place THEN
            items := items || array_fill(NULL::float8, ARRAY[place - cardinality(items)]);
        END IF;
        items[place] := item;
        RETURN items;
    END
    $body$
"""
"""A list with another item, as long as it has to be."""


_WRITE = """
    CREATE OR REPLACE FUNCTION {view}_write() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $body$
    DECLARE
        s {places}%ROWTYPE;
        roll bool;
    BEGIN
        IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE'
           AND (NEW.id, NEW.ts, NEW.tf, NEW.period) IS DISTINCT FROM (OLD.id, OLD.ts, OLD.tf, OLD.period) THEN
            SELECT * INTO s FROM {places} WHERE tf = OLD.tf AND period = OLD.period;
            UPDATE {table} SET {emptied}, closed = set_bit(closed, s.place - 1, 0)
            WHERE id = OLD.id AND ts = OLD.ts AND shelf = s.shelf;
            DELETE FROM {table}
            WHERE id = OLD.id AND ts = OLD.ts AND shelf = s.shelf AND cardinality(array_remove({average}, NULL)) = 0;
        END IF;
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        SELECT * INTO s FROM {places} WHERE tf = NEW.tf AND period = NEW.period;
        IF NOT FOUND THEN
            INSERT INTO {places} (tf, period, tf_days, shelf, place)
            SELECT NEW.tf, NEW.period, NEW.tf_days, 1 + max(shelf), 1 FROM {places} RETURNING * INTO s;
        END IF;
        roll := NEW.roll;
        IF TG_OP = 'UPDATE' THEN
            roll := {changed_roll};
            UPDATE {places} SET tf_days = NEW.tf_days
            WHERE tf = NEW.tf AND period = NEW.period AND NEW.tf_days <> OLD.tf_days;
        END IF;
        {shown_rolls}
        INSERT INTO {table} (id, ts, shelf, closed)
        VALUES (NEW.id, NEW.ts, s.shelf, decode(repeat('00', {bytes}), 'hex')) ON CONFLICT DO NOTHING;
        UPDATE {table} SET {filled}, closed = set_bit(closed, s.place - 1, (NOT roll)::int)
        WHERE id = NEW.id AND ts = NEW.ts AND shelf = s.shelf;
        RETURN NEW;
    END
    $body$
"""
"""Empties the lane of the old row, and the packed row if it was the last one; then fills the lane of the new row."""


def make_writable(engine: Engine) -> None:
    """Let the views of averages be written, row by row."""
    execute(engine, _WITH_ITEM)
    for _, leg in legs():
        if leg.averages:
            execute(
                engine,
                _function(leg),
                f"""CREATE OR REPLACE TRIGGER write_lane INSTEAD OF INSERT OR UPDATE OR DELETE ON {leg.target}
                    FOR EACH ROW EXECUTE FUNCTION {leg.target}_write()""",
            )


def _function(leg: Leg) -> str:
    values = [name for average in leg.averages for name in average.columns]
    rolls = [average.roll for average in leg.averages]
    changes = " ".join(f"WHEN NEW.{name} <> OLD.{name} THEN NEW.{name}" for name in rolls)
    return _WRITE.format(
        view=leg.target,
        table=leg.table,
        places=leg.places,
        average=leg.averages[0].name,
        emptied=", ".join(f"{name} = with_item({name}, s.place, NULL)" for name in values),
        filled=", ".join(f"{name} = with_item({name}, s.place, NEW.{name})" for name in values),
        changed_roll=f"CASE {changes} ELSE NEW.roll END",
        shown_rolls=" ".join(f"NEW.{name} := roll;" for name in rolls),
        bytes=-(-leg.shelf_width // 8),
    )
