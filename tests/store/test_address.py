"""Addresses of databases: what libpq reads is read, and no message repeats any part of one that is broken."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refresh.errors import SettingsError
from refresh.store.address import read_address

READ = {
    "postgresql://u:p@h:1/db": ({"user": "u", "password": "p", "host": "h", "port": "1", "dbname": "db"}, "h:1/db"),
    "postgres://h/db": ({"host": "h", "dbname": "db"}, "h/db"),
    "postgresql+psycopg2://h/db": ({"host": "h", "dbname": "db"}, "h/db"),
    " postgresql://h/db\n": ({"host": "h", "dbname": "db"}, "h/db"),
    "postgresql://u@a:1,b:2,c/db": ({"user": "u", "host": "a,b,c", "port": "1,2,", "dbname": "db"}, "a:1,b:2,c/db"),
    "postgresql://%2Frun%2Fpg/db": ({"host": "/run/pg", "dbname": "db"}, "/run/pg/db"),
    "postgresql:///db?host=/run/pg&port=5433": ({"host": "/run/pg", "port": "5433", "dbname": "db"}, "/run/pg:5433/db"),
    "postgresql://[::1]:5433/db": ({"host": "::1", "port": "5433", "dbname": "db"}, "[::1]:5433/db"),
    "postgresql://u:a%40b%2Fc@h/d%20b": ({"user": "u", "password": "a@b/c", "host": "h", "dbname": "d b"}, "h/d%20b"),
    "postgresql://h/db?ssl=true": ({"host": "h", "dbname": "db", "sslmode": "require"}, "h/db"),
    "postgresql://h/?options=-c%20geqo%3Doff": ({"host": "h", "options": "-c geqo=off"}, "h/"),
    "postgresql:///?service=prices": ({"service": "prices"}, "/?service=prices"),
    "service=prices": ({"service": "prices"}, "/?service=prices"),
    "host=h dbname=db password='p q'": ({"host": "h", "dbname": "db", "password": "p q"}, "h/db"),
    "postgresql://": ({}, "/"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "read"), READ.items(), ids=READ)
def test_what_libpq_reads(text: str, read: tuple[dict[str, str], str]) -> None:
    """Every notation of libpq is read, and shown without user and password."""
    address = read_address(text)
    assert (address.parameters, address.shown) == (read[0], f"postgresql://{read[1]}")


BROKEN = {
    "postgresql://u:p@ss@h/db": "in a user or password write @ as %40",
    "postgresql://u:p/ss@h/db": "write / as %2F",
    "postgresql://u:12/ss@h/db": "write / as %2F",
    "postgresql://u:p?ss@h/db": r"\? as %3F",
    "postgresql://u:12?ss@h/db": r"write \? as %3F",
    "postgresql://u:p%ss@h/db": "write % as %25",
    "postgresql://u:p ss@h/db": "write it as %20",
    "postgresql://u:pass:h/db": "its port is no number from 1 to 65535",
    "postgresql://h:0/db": "its port is no number from 1 to 65535",
    "postgresql://h/db?fast=1": "no such parameter as number 1",
    "postgresql://h/db?sslmode=require&pgbouncer=true": "no such parameter as number 2",
    "postgresql://h/db?host=a&host=b": "host=a,b&port=5432,5433",
    "postgresql://h/db?host=u:p@h": "its host contains @ or :",
    "postgresql://h/d%00b": "cannot be read",
    "postgresql://u:p%ff@h": "cannot be read",
    "mysql://u:p@h/db": "does not begin with postgresql://",
    "jdbc:postgresql://h/db": "does not begin with postgresql://",
    "u:p@h/db": "does not begin with postgresql://",
    "host=h password=p q": "cannot be read",
    "postgresql://h/d\nb": "a line break or another sign that cannot be seen",
    " ": "it is empty",
}


@pytest.mark.parametrize(("text", "message"), BROKEN.items(), ids=BROKEN)
def test_mistakes(text: str, message: str) -> None:
    """A mistake is named with the way to write it right."""
    with pytest.raises(SettingsError, match=message):
        read_address(text)


SECRETS = st.text(st.sampled_from("QXZ0189@:/?#%&=+[] \\'\",;!$~^|é\t"), min_size=4, max_size=24)
SHAPES = (
    "postgresql://refresher:{}@127.0.0.1:1/prices",
    "postgresql://{}@127.0.0.1:1/prices",
    "postgresql://refresher:{}/prices",
    "postgresql//refresher:{}@127.0.0.1/prices",
    "postgresql:/refresher:{}@127.0.0.1/prices",
    "postgresql:refresher:{}@127.0.0.1/prices",
    "refresher:{}@127.0.0.1/prices",
    "{}",
    "postgresql://127.0.0.1:1/prices?password={}",
    "postgresql://127.0.0.1:1/prices?password={}&user=refresher",
    "postgresql://127.0.0.1:1/prices?pasword={}",
    "host=127.0.0.1 password={} dbname=prices",
    "host=127.0.0.1 password='{}' dbname=prices",
    "postgresql:// refresher:{}@127.0.0.1/prices",
    "postgresql://refresher:{}@127.0.0.1:port/prices",
    "'postgresql://refresher:{}@127.0.0.1:1/prices'",
    "TARGET_DB_URL=postgresql://refresher:{}@127.0.0.1:1/prices",
)


@given(shape=st.sampled_from(SHAPES), secret=SECRETS)
@example(shape=SHAPES[0], secret="QXZ@QXZQ:1")  # noqa: S106 - made up
@example(shape=SHAPES[0], secret="QXZ/QXZ")  # noqa: S106
def test_no_message_holds_a_secret(shape: str, secret: str) -> None:
    """Whatever the password and the mistake, what is shown of an address has nothing of the password in it."""
    if "@" not in shape:
        secret = secret.replace("@", "Q").replace(",", "Q")  # what follows them is a host by every rule
    pieces = [secret[at : at + 4] for at in range(len(secret) - 3)]
    try:
        shown = read_address(shape.format(secret)).shown
    except SettingsError as error:
        shown = f"{error}{error.__cause__}{error.__context__ if not error.__suppress_context__ else ''}"
    assert not [piece for piece in pieces if any(sign in "QXZ" for sign in piece) and piece in shown]
