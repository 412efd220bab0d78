"""The address of a database as users write it, read by libpq itself. No message repeats any part of it.

An address that is broken may hold a password anywhere: in what looks like its host, its port, or a parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from urllib.parse import quote, unquote

import psycopg2
from psycopg2.extensions import parse_dsn

from refresh.errors import SettingsError

_FORM = "write it as postgresql://user:password@host:5432/database"
_SCHEME = re.compile(r"postgres(?:ql)?(?:\+\w+)?://", re.IGNORECASE)
_MAX_PORT = 65_535


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """What an address says. ``parameters``: those of libpq; what it lacks, libpq finds where it always looks."""

    parameters: Mapping[str, str] = field(repr=False)

    @property
    def shown(self) -> str:
        """The servers and the database, as in a URL: neither a user nor a parameter, in which secrets may be."""
        hosts = self.parameters.get("host", self.parameters.get("hostaddr", "")).split(",")
        ports = self.parameters.get("port", "").split(",")
        if len(ports) < len(hosts):
            ports = ports[:1] * len(hosts)
        names = [f"[{host}]" if _is_ipv6(host) else host for host in hosts]
        servers = ",".join(f"{name}:{port}" if port else name for name, port in zip(names, ports, strict=False))
        service = f"?service={self.parameters['service']}" if "service" in self.parameters else ""
        database = quote(self.parameters.get("dbname", ""), safe="")
        return f"postgresql://{servers}/{database}{service}"


def read_address(text: str) -> Address:
    """The address of a URL, or of libpq's list of ``name=value``; the name of a driver in the URL means nothing.

    Raises ``SettingsError`` without repeating any of it.
    """
    stripped = text.strip()
    for mistake in _mistakes(stripped):
        raise SettingsError(f"the database URL cannot be read: {mistake}")
    try:
        parameters = parse_dsn(_SCHEME.sub("postgresql://", stripped, count=1))
    except (psycopg2.Error, ValueError):
        raise SettingsError(f"the database URL cannot be read; {_FORM}") from None
    for mistake in _mistakes_of_servers(parameters):
        raise SettingsError(f"the database URL cannot be read: {mistake}")
    return Address(parameters=parameters)


def _mistakes_of_servers(parameters: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with hosts and ports that libpq takes as they are, and would repeat when it does not find them."""
    for host in parameters.get("host", "").split(","):
        if "@" in host[1:] or (":" in host and not _is_ipv6(host)):  # @ begins the name of an abstract socket
            yield "its host contains @ or :; give user, password and port as parameters of their own"
    if not all(map(_is_port, parameters.get("port", "").split(","))):
        yield _BAD_PORT


def _is_ipv6(text: str) -> bool:
    try:
        return bool(IPv6Address(text))
    except ValueError:
        return False


_BAD_PORT = (
    f"its port is no number from 1 to {_MAX_PORT}; in a user or password write : as %3A, / as %2F, ? as %3F, @ as %40"
)


def _is_port(text: str) -> bool:
    return not text or (text.isascii() and text.isdecimal() and 0 < int(text) <= _MAX_PORT)


def _mistakes(text: str) -> Iterator[str]:
    """What is wrong with an address, in words that name signs and places in it, but none of its own."""
    if "\0" in text or not text.isprintable():
        yield "it contains a line break or another sign that cannot be seen"
    if not text:
        yield f"it is empty; {_FORM}"
    if scheme := _SCHEME.match(text):
        yield from _mistakes_of_url(text[scheme.end() :])
    elif "://" in text or "=" not in text:
        yield f"it does not begin with postgresql://; {_FORM}"


def _mistakes_of_url(rest: str) -> Iterator[str]:
    """What is wrong after ``postgresql://``."""
    place, question, query = rest.partition("?")
    authority, _, path = place.partition("/")
    if authority.count("@") > 1:
        yield "it contains @ more than once before the database; in a user or password write @ as %40"
    if "@" in path or "/" in path:
        yield "it contains @ or / after a /; in a user, password or name of a database write / as %2F and @ as %40"
    if re.search(r"%(?![0-9A-Fa-f]{2})", rest):
        yield "it contains % without two hexadecimal digits after it; write % as %25"
    if re.search(r"\s", rest):
        yield "it contains a space; write it as %20"
    if _ports_are_wrong(authority):
        yield _BAD_PORT
    if question:
        yield from _mistakes_of_query(query)


def _ports_are_wrong(authority: str) -> bool:
    """Whether what follows the colon of a host is no number."""
    for server in authority.rpartition("@")[2].split(","):
        host, colon, port = server.rpartition(":")
        if colon and not server.endswith("]") and not (_is_port(port) and (":" not in host or host.endswith("]"))):
            return True
    return False


def _mistakes_of_query(query: str) -> Iterator[str]:
    """What is wrong with the parameters, each told by its position: a name may be a part of a password."""
    seen: set[str] = set()
    for number, pair in enumerate(query.split("&"), 1):
        name, equals, _ = pair.partition("=")
        name = unquote(name)
        if not equals:
            yield f"parameter {number} after the ? lacks a =; in a user or password write ? as %3F and & as %26"
        if not _is_known(name):
            yield f"libpq knows no such parameter as number {number} after the ?; leave it out"
        if name in seen:
            yield f"parameter {number} after the ? was given before; name several hosts as host=a,b&port=5432,5433"
        seen.add(name)


def _is_known(name: str) -> bool:
    """Whether libpq knows a parameter of this name; in a URL ``ssl=true`` is one."""
    try:
        parse_dsn(f"postgresql://?{quote(name)}=" + ("true" if name == "ssl" else ""))
    except (psycopg2.Error, ValueError):
        return False
    return True
