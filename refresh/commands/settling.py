"""Brings every asset into the shard where it belongs, by copying what users say of it and building everything again.

It can be stopped and started again at any time. Until the new shard has the same prices and has built them, the old one
counts. Then the file is changed and the prices are removed in one transaction, in which nobody else writes prices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from sqlalchemy import Engine

from refresh.catalog import SOURCE
from refresh.commands.part import part
from refresh.errors import CannotStartError, SettingsError
from refresh.faces.files import write_whole
from refresh.options.declaration import Program
from refresh.run.programs import Said, run_parts
from refresh.shards.file import read_layout, text_of
from refresh.shards.layout import Layout, addresses
from refresh.stop import Stop
from refresh.store import locks, moving, source
from refresh.store.assets import built_ids
from refresh.store.database import connect, read_committed, transaction
from refresh.store.schema import looking
from refresh.store.settings import remembered_zone
from refresh.wording import counted, shown_ids

AT_ONCE = 50
"""The assets that are moved together: what was done for them is done again after an interruption."""
_ATTEMPTS = 3
_GROWN_UP = ("--all", "--quiet", "--wait-lock", "10m", "--accept-restatement")


class StoppedError(Exception):
    """A signal arrived. What is moved stays moved."""


@dataclass(kw_only=True, slots=True)
class Settling:
    """The shards, the file that says where assets are, and where lines are printed."""

    path: str
    environ: Mapping[str, str] = field(repr=False)
    layout: Layout
    addresses: Mapping[str, str] = field(repr=False)
    engines: Mapping[str, Engine] = field(repr=False)
    say: Callable[[str], object]
    stop: Stop

    @classmethod
    def opened(
        cls, stack: ExitStack, path: str, environ: Mapping[str, str], say: Callable[[str], object], stop: Stop
    ) -> Self:
        """All shards of a file, as long as the stack lasts. Raises ``RefreshError``."""
        layout = read_layout(path)
        places = addresses(layout, environ)
        name = locks.session_name(datetime.now(UTC))
        engines = {shard: stack.enter_context(connect(address, name)) for shard, address in places.items()}
        check_they_differ(engines)
        return cls(path=path, environ=environ, layout=layout, addresses=places, engines=engines, say=say, stop=stop)

    def change(self, layout: Layout) -> None:
        """Write the file. Readers find the old one or the new one."""
        before = Path(self.path).read_text(encoding="utf-8")
        write_whole(text_of(layout, before, self.path), self.path, "--shards")
        self.layout = layout

    def known(self) -> dict[str, list[int]]:
        """The assets of each shard, whether they belong there or not."""
        return {name: _known(engine) for name, engine in self.engines.items()}

    def settle(self) -> int:
        """Move every asset that is not where it belongs. Returns their number."""
        number = self._tidy()
        for origin, home, ids in _groups(self.layout):
            self._move(origin, home, ids)
            number += len(ids)
        return number

    def _tidy(self) -> int:
        """Remove what a shard has left over of an asset that has moved, and note which assets still wait to move."""
        known = self.known()
        removed = 0
        for name, ids in known.items():
            others = self.layout.strays(name, ids)
            left = [id for id in others if id in known[self.layout.shard_of(id)]]
            waiting = [id for id in others if id not in left]
            if waiting:
                self.change(self.layout.found(waiting, name))
            for id in left:
                self._check_left_over(name, id)
            self._remove(name, left)
            removed += len(left)
        return removed

    def _check_left_over(self, name: str, id: int) -> None:
        """Raise ``CannotStartError`` if prices would be lost: somebody wrote them into the wrong shard."""
        right = self.layout.shard_of(id)
        with transaction(self.engines[name]) as here, transaction(self.engines[right]) as there:
            if moving.are_within(here, there, [id]):
                return
        raise CannotStartError(
            f"asset {id} belongs into shard {right}, but shard {name} has prices of it that {right} lacks; "
            f"load them with --shards, then delete them in {name}: DELETE FROM {SOURCE} WHERE id = {id}"
        )

    def _move(self, origin: str, home: str, ids: Sequence[int]) -> None:
        self.say(f"moving {counted(len(ids), 'asset')} from {origin} to {home}: {shown_ids(ids)}")
        for _ in range(_ATTEMPTS):
            tz = self._copy(origin, home, ids)
            self._run(home, ids, "--tz", tz)
            if self._switch(origin, home, ids):
                self._prune(origin, ids)
                return
        raise CannotStartError(
            f"prices of {shown_ids(ids)} in {origin} have changed {_ATTEMPTS} times while they were moved; "
            "move them when nothing is loaded"
        )

    def _copy(self, origin: str, home: str, ids: Sequence[int]) -> str:
        """Copy the prices. Returns the time zone of both shards."""
        with transaction(self.engines[origin]) as here, read_committed(self.engines[home]) as there:
            moving.prepare_like(here, there)
            moving.copy_assets(here, there, ids)
            return remembered_zone(here) or "UTC"

    def _switch(self, origin: str, home: str, ids: Sequence[int]) -> bool:
        """Let the new shard count. Returns whether it has the prices that the old one has by now."""
        with read_committed(self.engines[origin]) as here, transaction(self.engines[home]) as there:
            moving.block_prices(here)
            if not moving.are_same(here, there, ids):
                return False
            self.change(self.layout.arrived(ids))
            moving.remove_prices(here, ids)
            return True

    def _remove(self, name: str, ids: Sequence[int]) -> None:
        if not ids:
            return
        self.say(f"removing from {name} what is left of {shown_ids(ids)}")
        with read_committed(self.engines[name]) as connection:
            moving.remove_prices(connection, ids)
        self._prune(name, ids)

    def _prune(self, name: str, ids: Sequence[int]) -> None:
        """Remove what was computed of assets without prices; what an interrupted move started may have done so."""
        left = sorted(set(ids).intersection(_known(self.engines[name])))
        if left:
            self._run(name, left, "--prune")

    def _run(self, name: str, ids: Sequence[int], *arguments: str) -> None:
        """Refresh some assets of a shard. Raises ``StoppedError``, or ``CannotStartError`` if that fails."""
        words: list[str] = []

        def tell(said: Said) -> None:
            words.append(said.line)
            if said.is_error:
                self.say(f"{name}: {said.line}")

        listed_ids = ",".join(map(str, ids))
        command = [*_GROWN_UP, f"--ids={listed_ids}", *arguments]
        program = part(name, self.layout, self.addresses[name], self.environ, Program.DAILY, command)
        (ended,) = run_parts([program], 1, tell, self.stop)
        if self.stop.requested:
            raise StoppedError
        if ended.code:
            raise CannotStartError(f"shard {name}: {next(reversed(words), 'the refresh failed')}; nothing was lost")


def check_they_differ(engines: Mapping[str, Engine]) -> None:
    """Raise ``SettingsError`` if two shards are one database: what is moved there would be removed there."""
    names: dict[tuple[object, ...], str] = {}
    for name, engine in engines.items():
        with transaction(engine) as connection:
            other = names.setdefault(moving.identity(connection), name)
        if other != name:
            raise SettingsError(f"shards {other} and {name} are the same database; each needs one of its own")


def _known(engine: Engine) -> list[int]:
    with looking(engine) as connection:
        return built_ids(connection) if source.is_absent_or_empty(connection) else source.known_ids(connection)


def _groups(layout: Layout) -> Iterator[tuple[str, str, list[int]]]:
    """The assets that wait, in parts: where they are, where they belong, and which."""
    ways: dict[tuple[str, str], list[int]] = {}
    for id, origin in sorted(layout.waiting.items()):
        ways.setdefault((origin, layout.home_of(id)), []).append(id)
    for (origin, home), ids in ways.items():
        for first in range(0, len(ids), AT_ONCE):
            yield origin, home, ids[first : first + AT_ONCE]
