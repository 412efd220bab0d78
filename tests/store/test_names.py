"""Names in statements: ours are in the schema public, all others in pg_catalog, whatever a database has besides."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError
from statements import ask, execute

from refresh.store.names import OURS, qualified


@pytest.mark.parametrize(
    ("statement", "sent"),
    [
        ("SELECT * FROM dim_period p", "SELECT * FROM public.dim_period p"),
        ("LOCK TABLE cmc_price_bars_1d, dim_period", "LOCK TABLE public.cmc_price_bars_1d, public.dim_period"),
        ("SELECT FROM cmc_price_bars_1d_state", "SELECT FROM public.cmc_price_bars_1d_state"),
        (
            "DELETE FROM dim_period WHERE dim_period.period = 1",
            "DELETE FROM public.dim_period WHERE public.dim_period.period = 1",
        ),
        ("COPY dim_period (period) FROM STDIN", "COPY public.dim_period (period) FROM STDIN"),
        ("SELECT FROM public.dim_period", "SELECT FROM public.dim_period"),
        ("SELECT FROM dim_period_of_another", "SELECT FROM dim_period_of_another"),
        ("SELECT 'dim_period' AS name", "SELECT 'dim_period' AS name"),
        ('SELECT p."dim_period" FROM p', 'SELECT p."dim_period" FROM p'),
        ("SELECT FROM pg_class", "SELECT FROM pg_class"),
    ],
)
def test_our_names_get_their_schema(statement: str, sent: str) -> None:
    """Each name of ours gets its schema once, and nothing else is touched."""
    assert qualified(statement) == sent


def test_every_table_and_view_has_its_schema(engine: Engine) -> None:
    """Whatever a refresh creates in a database can be named."""
    relations = ask(engine, "SELECT relname FROM pg_class WHERE relnamespace = 2200 AND relkind IN ('r', 'v')")
    assert {name for (name,) in relations} == OURS


def test_name_that_is_not_ours_fails(engine: Engine) -> None:
    """A statement that forgets where a table is does not find one of that name, wherever it may be."""
    execute(engine, "CREATE TABLE stranger (id int)")
    with engine.connect() as connection, pytest.raises(ProgrammingError, match='relation "stranger" does not exist'):
        connection.execute(text("SELECT FROM stranger"))


def test_temporary_table_is_never_first(engine: Engine) -> None:
    """A temporary table of the session is not what a statement means, be its name ours or that of a catalogue."""
    with engine.connect() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE pg_class AS SELECT 'stranger' AS relname"))
        connection.connection.cursor().execute("CREATE TEMPORARY TABLE dim_period AS SELECT -1 AS period")
        periods = connection.execute(text("SELECT period FROM dim_period")).scalars().all()
        classes = connection.execute(text("SELECT relname FROM pg_class")).scalars().all()
    assert periods
    assert -1 not in periods
    assert "stranger" not in classes
