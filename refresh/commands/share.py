"""What every shard holds, as the others have to know it: symbols, and the assets known and restated there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import TypeVar

from sqlalchemy import Engine

from refresh.catalog import BUILDERS
from refresh.due import survey
from refresh.due.decisions import Decisions
from refresh.due.selection import Elsewhere
from refresh.errors import RefreshError
from refresh.options.request import Request
from refresh.store import locks
from refresh.store.assets import read_symbols
from refresh.store.database import connect
from refresh.store.schema import looking
from refresh.store.server_errors import ASSET_ERRORS
from refresh.store.settings import remembered_zone

Result = TypeVar("Result")


def symbols(addresses: Mapping[str, str]) -> dict[str, list[int]]:
    """The assets that each symbol names, in all shards."""
    found: dict[str, list[int]] = {}
    none: dict[str, list[int]] = {}
    for own in _asked(addresses, read_symbols, default=none).values():
        for symbol, ids in own.items():
            found.setdefault(symbol, []).extend(ids)
    return found


def others(addresses: Mapping[str, str], request: Request, now: datetime) -> dict[str, Elsewhere]:
    """What the other shards hold, for each shard. One that cannot be asked counts as empty: the limit is lower then."""
    if not _is_judged(request):
        return dict.fromkeys(addresses, Elsewhere())
    found = _asked(addresses, partial(_found, request, now), default=Elsewhere())
    elsewhere = {}
    for name in addresses:
        rest = [share for other, share in found.items() if other != name]
        elsewhere[name] = sum(rest, Elsewhere())
    return elsewhere


def _is_judged(request: Request) -> bool:
    """Whether restatements are: some builder takes in the source, or the question is what one would do."""
    plans = request.launches or request.explain is not None
    return plans and not (request.accept_restatement or request.full_rebuild or request.emas)


def _found(request: Request, now: datetime, engine: Engine) -> Elsewhere:
    """What one database holds. Writes nothing."""
    (daily,) = [builder for builder in BUILDERS if "source" in builder.accepts]
    with looking(engine) as connection:
        zone = remembered_zone(connection)
        selection = request.zoned(zone).selection
        (scope,) = survey.open_scopes(connection, [daily], selection, now)
        decisions = Decisions(scope.narrowed(None))
        for leg in daily.legs:
            decisions.daily.examined(connection, decisions.due(connection, leg, None))
        return decisions.daily.found(connection)


def _asked(addresses: Mapping[str, str], ask: Callable[[Engine], Result], *, default: Result) -> dict[str, Result]:
    """The answer of each database; the default for one that does not answer, as its own program will tell."""

    def answer(address: str) -> Result:
        try:
            with connect(address, locks.session_name(datetime.now().astimezone())) as engine:
                return ask(engine)
        except (RefreshError, *ASSET_ERRORS):
            return default

    with ThreadPoolExecutor(len(addresses)) as threads:
        return dict(zip(addresses, threads.map(answer, addresses.values()), strict=True))
