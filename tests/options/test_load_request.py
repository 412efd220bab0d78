"""Command lines that load price files."""

from __future__ import annotations

from pathlib import Path

import pytest

from refresh.errors import UsageError
from refresh.options.load_request import LoadRequest
from refresh.options.parsing import completed_load, parse_load

ADDRESS = "postgresql://user:s3cret/pa ss@w0rd@host/prices?password=s3cret"


def test_loading() -> None:
    """A command line that loads files becomes a request of its own."""
    arguments = [
        "a.csv",
        "b.csv.gz",
        "--id",
        "7",
        "--name",
        "Seven",
        "--dates",
        "DMY",
        "--db-url",
        "postgresql://host/p",
    ]
    assert parse_load(arguments) == LoadRequest(
        files=(Path("a.csv"), Path("b.csv.gz")), id="7", name="Seven", dates="dmy", db_url="postgresql://host/p"
    )
    assert parse_load(["x.csv", "x.csv", "--manifest", "m.csv"]) == LoadRequest(
        files=(Path("x.csv"), Path("x.csv")), manifest=Path("m.csv")
    )
    assert parse_load(["--sample"]) == LoadRequest(sample=True)
    assert parse_load(["--id", "7", "x.csv"]) == LoadRequest(files=(Path("x.csv"),), id="7")
    environ = {"TARGET_DB_URL": "postgresql://host/p"}
    assert completed_load(parse_load(["--sample"]), environ) == LoadRequest(sample=True, db_url="postgresql://host/p")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "name one or more price files, or say --sample"),
        ("x.csv --name Ay", "--name names the asset of --id; say --id as well"),
        ("x.csv --id 7 --manifest m.csv", "--manifest: not allowed with argument --id"),
        ("x.csv --dates dym", "--dates: 'dym' is none of mdy, dmy, ymd"),
        ("x.csv --symbol AAPL", "--symbol picks the lines of the asset of --id; say --id as well"),
        ("x.csv --id 7 --decimal 5", "--decimal: '5' is neither . nor ,"),
        ("x.csv --id 7 --symbol Name=", "--symbol: 'Name=' is no symbol such as AAPL"),
        ("x.csv --ids 7", "unrecognized arguments: --ids is no option of this program"),
        (
            f"x.csv --dburl {ADDRESS}",
            "unrecognized arguments: number 2 is no option of this program; nearest",
        ),
    ],
)
def test_loading_that_is_refused(line: str, message: str) -> None:
    """What does not fit together is refused, and the line says why."""
    with pytest.raises(UsageError) as caught:
        parse_load(line.split())
    assert str(caught.value).startswith(message)
    assert "s3cret" not in str(caught.value)
