"""``daily-refresh shards``: shows, adds and fills shards, moves assets between them, and makes views over all.

What is moved is built again from its prices. Every subcommand can be stopped, and ``settle`` goes on.
"""

from __future__ import annotations

import fcntl
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

from refresh import printing
from refresh.commands.settling import Settling, StoppedError, check_they_differ
from refresh.errors import SHORTAGES, AlreadyRunningError, ExitCode, RefreshError, SettingsError, UsageError, shortage
from refresh.options.environment import settings
from refresh.options.values import IDS
from refresh.shards.file import read_layout
from refresh.shards.layout import addresses
from refresh.stop import Stop
from refresh.store.database import connect, read_committed
from refresh.store.server_errors import ASSET_ERRORS, first_line
from refresh.store.shard_views import ALL_SHARDS, create_views, viewed
from refresh.wording import counted, escaped

_ABOUT = "Databases over which assets are spread: see docs/shards.md."
_GO_ON = "stopped; what is moved stays moved, and this goes on: shards settle"


class _Parser(ArgumentParser):
    """Reports what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see --help)")


def _parser() -> _Parser:
    parser = _Parser(prog="daily-refresh shards", description=_ABOUT, allow_abbrev=False)
    parser.add_argument("--shards", metavar="FILE", help="the file that names them (default: REFRESH_SHARDS)")
    parser.add_argument("--config", metavar="FILE", help="file of settings; none of the usual ones is read then")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser("show", help="print the shards, and how many assets each has and waits for")
    adding = verbs.add_parser("add", help="add a shard, and move its share of the assets into it")
    adding.add_argument("name", metavar="NAME")
    adding.add_argument("variable", metavar="VARIABLE", help="the variable that holds its address")
    moved = verbs.add_parser("move", help="move assets into a shard")
    moved.add_argument("ids", metavar="IDS", help="e.g. 1,52")
    moved.add_argument("--to", metavar="NAME", required=True)
    verbs.add_parser("settle", help="move every asset that is not where it belongs, e.g. after an interruption")
    views = verbs.add_parser("views", help=f"make views over all shards, in the schema {ALL_SHARDS} of a database")
    views.add_argument("variable", metavar="VARIABLE", help="the variable that holds the address of that database")
    return parser


def main(words: Sequence[str], environ: Mapping[str, str]) -> int:
    """Do what the words say. Returns the exit code."""
    stop = Stop()
    try:
        with stop.listening():
            return _main(words, environ, stop)
    except StoppedError:
        return _failed(_GO_ON, stop.exit_code)
    except RefreshError as error:
        return _failed(f"error: {error}", error.exit_code)
    except ASSET_ERRORS as error:
        return _failed(f"error: {first_line(error)}", ExitCode.FAILED)
    except SHORTAGES as error:
        return _failed(f"error: {shortage(error)}", ExitCode.FAILED)


def _failed(line: str, code: int) -> int:
    print(escaped(line), file=sys.stderr)
    return code


def _main(words: Sequence[str], environ: Mapping[str, str], stop: Stop) -> int:
    typed = _parser().parse_args(words)
    merged = settings(environ, typed.config)
    path = typed.shards or merged.get("REFRESH_SHARDS")
    if not path:
        raise UsageError("name the file of the shards: --shards FILE, or set REFRESH_SHARDS")
    if typed.verb == "views":
        return _views(typed.variable, path, merged)
    with ExitStack() as stack:
        if typed.verb != "show":
            stack.enter_context(_alone(path))
        work = Settling.opened(stack, path, merged, _say, stop)
        return _VERBS[typed.verb](work, typed)


def _say(line: str) -> None:
    print(escaped(line), flush=True)


@contextmanager
def _alone(path: str) -> Iterator[None]:
    """Keep others of this machine from changing the same layout meanwhile. Raises ``AlreadyRunningError``."""
    folder = os.open(Path(path).absolute().parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise AlreadyRunningError(f"--shards {path}: assets are being moved already; wait until that ends") from None
    finally:
        os.close(folder)


def _show(work: Settling, _: Namespace) -> int:
    known = work.known()
    layout = work.layout
    code = ExitCode.DONE
    for name, ids in known.items():
        here = [id for id in ids if layout.shard_of(id) == name]
        coming = [id for id in layout.waiting if layout.home_of(id) == name]
        strange = layout.strays(name, ids)
        line = f"{name} ({layout.shards[name]}): {counted(len(here), 'asset')}"
        if coming:
            line += f", {len(coming):,} to come"
        if strange:
            line += f", {len(strange):,} that belong elsewhere"
        if coming or strange:
            code = ExitCode.FAILED
        _say(line)
    if code:
        _say("not settled; move assets where they belong: shards settle")
    return code


def _add(work: Settling, typed: Namespace) -> int:
    if typed.name in work.layout.shards:
        raise UsageError(f"shard {typed.name} exists; go on with: shards settle")
    every = {id for ids in work.known().values() for id in ids}
    larger = work.layout.with_shard(typed.name, typed.variable, every)
    if not work.environ.get(typed.variable):
        raise SettingsError(f"{typed.variable} is not set; set it to the address of the new database")
    with connect(work.environ[typed.variable], "shards") as engine:  # whoever cannot be reached is not added
        check_they_differ({**work.engines, typed.name: engine})
    work.change(larger)
    with ExitStack() as stack:
        again = Settling.opened(stack, work.path, work.environ, work.say, work.stop)
        return _settle(again, typed)


def _move(work: Settling, typed: Namespace) -> int:
    ids = IDS.read(typed.ids) or ()
    if not ids or not all(isinstance(id, int) for id in ids):
        raise UsageError("IDS is a list of ids such as 1,52")
    every = {id for known in work.known().values() for id in known}
    unknown = [id for id in ids if id not in every]
    if unknown:
        raise UsageError(f"{unknown[0]}: no shard has such an asset")
    work.change(work.layout.assigned(ids, work.layout.check(typed.to, "--to")))
    return _settle(work, typed)


def _settle(work: Settling, _: Namespace) -> int:
    number = work.settle()
    _say(f"settled: {counted(number, 'asset')} moved or tidied up, every asset is where it belongs")
    return ExitCode.DONE


def _views(variable: str, path: str, environ: Mapping[str, str]) -> int:
    layout = read_layout(path)
    address = environ.get(variable)
    if not address:
        raise SettingsError(f"{variable} is not set; set it to the address of the database that gets the views")
    with connect(address, "shards") as engine, read_committed(engine) as connection:
        create_views(connection, addresses(layout, environ))
    first = f"{ALL_SHARDS}.{viewed()[0]}"
    _say(f"{counted(len(viewed()), 'view')} over {counted(len(layout.shards), 'shard')}, e.g. {first}")
    return ExitCode.DONE


_VERBS: Mapping[str, Callable[[Settling, Namespace], int]] = {
    "show": _show,
    "add": _add,
    "move": _move,
    "settle": _settle,
}


if __name__ == "__main__":
    sys.exit(printing.run(lambda: main(sys.argv[1:], os.environ)))
