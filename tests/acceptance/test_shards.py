"""Assets spread over two databases: every command works over both as over one, and assets move between them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from databases import database
from refreshing import FEW, digests, enable
from running import Refresh
from sqlalchemy import URL, Engine
from statements import ask, execute
from waiting import eventually

from refresh.catalog import SOURCE, legs
from refresh.errors import ExitCode
from refresh.shards.file import read_layout
from refresh.shards.layout import Layout
from refresh.store.database import connect

IDS = range(1, 1 + int(os.environ.get("REFRESH_MOVES_ASSETS", "24")))
DAYS = 60
NEW = 3
"""Days that arrive later, the first of them too old to be on its way."""
INTERRUPTIONS = int(os.environ.get("REFRESH_MOVES", "2"))
SEED = int(os.environ.get("REFRESH_MOVES_SEED", "1"))
SECONDS_OF_A_MOVE = 8.0
PRICES = f"""
    INSERT INTO {SOURCE} (id, "timestamp", timeopen, timeclose, timehigh, timelow, open, high, low, close, volume)
    SELECT a, at, at - interval '1 day - 1 ms', at, at - interval '7 h', at - interval '9 h', 100 + sin(n * a),
           120 + cos(n * a), 80 + sin(a), 100 + sin((n + 1) * a), 1000 + n
    FROM unnest(CAST(:ids AS int[])) AS a, generate_series(CAST(:first AS int), CAST(:last AS int)) AS n
    CROSS JOIN LATERAL (
        SELECT date_trunc('day', now(), 'UTC') + (n - {DAYS}) * interval '1 day' - interval '1 ms' AS at) AS t
"""
Together = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Two shards, one database with everything for comparison, and the file that names the shards."""

    folder: Path
    engines: Mapping[str, Engine]
    whole: Engine
    file: Path
    environ: Mapping[str, str]

    @property
    def layout(self) -> Layout:
        """What the file says now."""
        return read_layout(str(self.file))

    def start(self, *arguments: str, program: str = "run_daily_refresh.py") -> Refresh:
        """A program on all shards."""
        folder = self.folder / str(len(list(self.folder.iterdir())))
        folder.mkdir()
        return Refresh(folder, None, *arguments, program=program, **self.environ)

    def run(self, *arguments: str, code: int = ExitCode.DONE, program: str = "run_daily_refresh.py") -> Refresh:
        """The same, until its end."""
        ended = self.start(*arguments, program=program)
        assert ended.wait() == code, ended.out + ended.err
        assert "Traceback" not in ended.err
        return ended

    def shards(self, *arguments: str, code: int = ExitCode.DONE) -> Refresh:
        """``daily-refresh shards``."""
        return self.run(*arguments, program="-m refresh.commands.shards", code=code)

    def add_prices(self, first: int, last: int, ids: list[int] | None = None) -> None:
        """Days of all assets, or of some, where they belong and in the database that has everything."""
        ids = ids or list(IDS)
        execute(self.whole, PRICES, ids=ids, first=first, last=last)
        for name, own in self.layout.split(ids).items():
            execute(self.engines[name], PRICES, ids=own, first=first, last=last)

    def say_everywhere(self, statement: str) -> None:
        """Change the source of every database."""
        for engine in (self.whole, *self.engines.values()):
            execute(engine, statement)

    def is_equal(self) -> bool:
        """Whether the shards together hold what one database holds."""
        alone = self.start("--all", "--quiet", "--db-url", address(self.whole))
        assert alone.wait() == ExitCode.DONE, alone.out + alone.err
        return together(*self.engines.values()) == together(self.whole)


def address(engine: Engine) -> str:
    """Where a database is."""
    return engine.url.render_as_string(hide_password=False)


def together(*engines: Engine) -> Together:
    """The rows and a digest of every table, over some databases."""
    found: dict[str, tuple[int, int]] = {}
    for engine in engines:
        for table, (number, hashes) in digests(engine).items():
            rows, digest = found.get(table, (0, 0))
            found[table] = rows + number, digest + int(hashes)
    return found


@pytest.fixture
def spread(server: URL, template: str, tmp_path: Path) -> Iterator[Spread]:
    """24 assets, spread over two databases, with few timeframes."""
    with ExitStack() as stack:
        urls = {name: stack.enter_context(database(server, template)) for name in ("east", "west", "whole")}
        engines = {name: stack.enter_context(connect(url)) for name, url in urls.items()}
        for engine in engines.values():
            enable(engine, FEW, [10])
        file = tmp_path / "shards.toml"
        file.write_text('# Where assets are.\n[shards]\neast = "EAST_URL"\nwest = "WEST_URL"\n')
        work = tmp_path / "runs"
        work.mkdir()
        whole = engines.pop("whole")
        environ = {"EAST_URL": urls["east"], "WEST_URL": urls["west"], "REFRESH_SHARDS": str(file)}
        spread = Spread(folder=work, engines=engines, whole=whole, file=file, environ=environ)
        spread.add_prices(1, DAYS - NEW)
        yield spread


def test_shards_are_one_database(spread: Spread) -> None:
    """A run over both leaves what a run of one database leaves; each command tells of both."""
    first = spread.run("--all")
    assert "24" in first.out.splitlines()[-1] or "in 2 shards" in first.out
    assert spread.is_equal()
    spread.add_prices(DAYS - NEW + 1, DAYS)
    spread.say_everywhere(f"UPDATE {SOURCE} SET close = close + 1 WHERE id IN (3, 4) AND volume = 1030")
    spread.say_everywhere(f"DELETE FROM {SOURCE} WHERE id = 5 AND volume = 1020")
    assert spread.run("--check", code=ExitCode.FAILED)
    target = spread.folder.parent / "run.json"
    run = spread.run("--all", "--validate", "--json", str(target), "--html", str(target.with_suffix(".html")))
    assert spread.is_equal()
    said = json.loads(target.read_text())
    assert said["assets"] == len(IDS)
    assert said["rows"] == sum(shard["document"]["rows"] for shard in said["shards"].values())
    assert run.out.splitlines()[-2 if run.out.endswith("\n\n") else -1].startswith("Done: ")
    assert {path.name for path in target.parent.glob("*.html")} == {"run.html", "run-east.html", "run-west.html"}
    assert spread.run("--check").out.count("fresh: ") == len(spread.engines)


def test_part_behind_is_not_fresh(spread: Spread) -> None:
    """One shard that lacks days is enough for a red check, which names it."""
    spread.run("--all")
    spread.run("--check")
    spread.add_prices(DAYS - NEW + 1, DAYS)
    east = spread.start("--all", "--db-url", address(spread.engines["east"]))
    assert east.wait() == ExitCode.DONE
    red = spread.run("--check", code=ExitCode.FAILED).out
    assert "east: fresh: " in red
    assert "west: not fresh: " in red


def test_fuse_counts_all_shards(spread: Spread) -> None:
    """What one shard restates is judged by its share of all assets, in a plan as in a run."""
    spread.run("--all")
    (small, large) = sorted(spread.layout.split(IDS).items(), key=lambda item: len(item[1]))
    revised = large[1][:11]
    statement = f"UPDATE {SOURCE} SET close = close + 1 WHERE volume = 1030 AND id IN ({','.join(map(str, revised))})"
    execute(spread.engines[large[0]], statement)
    share = 100 * len(revised) / len(IDS)
    of_shard = 100 * len(revised) / len(large[1])
    assert share + 1 < of_shard, (small, large)
    refused = spread.run("--all", "--restate-limit", f"{share - 1:.1f}", code=ExitCode.FAILED)
    assert f"{len(revised)} of {len(IDS)} assets are restated at once" in refused.out + refused.err
    assert "restatement refused" not in spread.run("--all", "--dry-run", "--restate-limit", f"{share + 1:.1f}").out
    taken = spread.run("--all", "--restate-limit", f"{share + 1:.1f}")
    assert "refused" not in taken.out
    execute(spread.whole, statement)
    accepted = spread.start("--all", "--quiet", "--accept-restatement", "--db-url", address(spread.whole))
    assert accepted.wait() == ExitCode.DONE
    assert spread.is_equal()


def test_ids_go_where_they_are(spread: Spread) -> None:
    """A narrowed run touches the shards of its assets only, and an asset is explained by its own."""
    by_shard = spread.layout.split(IDS)
    asset = by_shard["west"][0]
    run = spread.run("--all", "--ids", str(asset))
    assert "east: " not in run.out
    explained = spread.run("--explain", str(asset))
    assert f"west: asset {asset}: " in explained.out
    assert "east: " not in explained.out


def test_file_is_loaded_where_assets_belong(spread: Spread) -> None:
    """Each line goes into the shard of its asset; bad lines are told once."""
    file = spread.folder.parent / "prices.csv"
    lines = [f"{id},2024-01-0{day},10,12,9,11,100" for id in range(100, 110) for day in (1, 2, 3)]
    file.write_text("\n".join(["id,date,open,high,low,close,volume", *lines, "101,2024-01-04,x,12,9,11,100", ""]))
    loaded = spread.run(str(file), program="-m refresh.load", code=ExitCode.FAILED)
    assert "30 rows of 10 assets: 30 inserted" in loaded.out
    assert loaded.err.count("2024-01-04") + loaded.err.count("open") >= 1
    for name, ids in spread.layout.split(range(100, 110)).items():
        held = ask(spread.engines[name], f"SELECT DISTINCT id FROM {SOURCE} WHERE id BETWEEN 100 AND 109 ORDER BY id")
        assert [id for (id,) in held] == ids


def test_shard_without_server_costs_only_itself(spread: Spread) -> None:
    """The other shard is refreshed; the exit code and the last line say that not all is done."""
    gone = dict(spread.environ) | {"WEST_URL": "postgresql://127.0.0.1:1/nothing"}
    half = Spread(folder=spread.folder, engines=spread.engines, whole=spread.whole, file=spread.file, environ=gone)
    run = half.run("--all", code=ExitCode.FAILED)
    assert run.out.strip().splitlines()[-1].endswith("look at west.")
    assert ask(spread.engines["east"], f"SELECT count(*) > 0 FROM {legs_table()}") == [(True,)]


def legs_table() -> str:
    """The table of the first builder."""
    return next(leg.target for _, leg in legs())


def test_signal_stops_every_shard(spread: Spread) -> None:
    """SIGTERM ends the programs of all shards, and the exit code says so; the next run leaves everything equal."""
    run = spread.start("--all")
    assert eventually(lambda: "east: " in run.out and "west: " in run.out)
    run.process.send_signal(signal.SIGTERM)
    assert run.wait() == ExitCode.TERMINATED
    spread.run("--all")
    assert spread.is_equal()


def test_moving_can_be_interrupted(spread: Spread) -> None:
    """Whenever moves are killed, settling goes on with them, and nothing is lost or there twice."""
    spread.run("--all")
    draw = Random(SEED)  # noqa: S311 - no secret
    there = sorted(spread.layout.split(IDS)["east"])
    for interruption in range(INTERRUPTIONS):
        home, moved = (("west", there), ("east", there[::2]))[interruption % 2]
        run = spread.start("move", ",".join(map(str, moved)), "--to", home, program="-m refresh.commands.shards")
        moment = draw.uniform(0, SECONDS_OF_A_MOVE)
        with suppress(subprocess.TimeoutExpired):
            run.process.wait(moment)
        how = draw.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
        run.process.send_signal(how)
        print(f"seed {SEED}: {how.name} after {moment:.1f} s ended with {run.wait()}")  # noqa: T201 - for who searches
    spread.shards("settle")
    assert not spread.layout.waiting
    assert "# Where assets are." in spread.file.read_text()
    assert_where_they_belong(spread)
    spread.run("--all")
    assert spread.is_equal()


def assert_where_they_belong(spread: Spread) -> None:
    """Prices and bars of every asset are in its shard and nowhere else."""
    for name, ids in spread.layout.split(IDS).items():
        for table in (SOURCE, legs_table()):
            held = ask(spread.engines[name], f"SELECT DISTINCT id FROM {table} ORDER BY id")
            assert [id for (id,) in held] == ids, (name, table)
    assert "to come" not in spread.shards("show").out


def test_added_shard_gets_its_share(spread: Spread, server: URL) -> None:
    """A new, empty database takes about a third of the assets, with the same timeframes; the others stay."""
    spread.run("--all")
    before = spread.layout
    with database(server, "template1") as url, connect(url) as north:
        grown = Spread(
            folder=spread.folder,
            engines={**spread.engines, "north": north},
            whole=spread.whole,
            file=spread.file,
            environ={**spread.environ, "NORTH_URL": url},
        )
        grown.shards("add", "north", "NORTH_URL")
        own = grown.layout.split(IDS)["north"]
        assert len(IDS) // 6 <= len(own) <= len(IDS) // 2
        assert all(grown.layout.shard_of(id) in {"north", before.shard_of(id)} for id in IDS)
        assert_where_they_belong(grown)
        grown.run("--all")
        assert grown.is_equal()


def test_prices_in_the_wrong_shard_are_not_thrown_away(spread: Spread) -> None:
    """What somebody wrote into the wrong shard is refused with the way out, unless the right one has it too."""
    asset = spread.layout.split(IDS)["east"][0]
    execute(spread.engines["west"], PRICES, ids=[asset], first=DAYS, last=DAYS)
    refused = spread.shards("settle", code=ExitCode.CANNOT_START)
    assert f"asset {asset} belongs into shard east, but shard west has prices of it" in refused.err
    execute(spread.engines["east"], PRICES, ids=[asset], first=DAYS, last=DAYS)
    spread.shards("settle")
    assert ask(spread.engines["west"], f"SELECT count(*) FROM {SOURCE} WHERE id = {asset}") == [(0,)]


def test_another_price_in_the_wrong_shard_is_not_thrown_away(spread: Spread) -> None:
    """Also one of a day that the right shard has, with another value."""
    asset = spread.layout.split(IDS)["east"][0]
    execute(spread.engines["west"], PRICES, ids=[asset], first=DAYS - NEW, last=DAYS - NEW)
    execute(spread.engines["west"], f"UPDATE {SOURCE} SET close = close + 1 WHERE id = {asset}")
    refused = spread.shards("settle", code=ExitCode.CANNOT_START)
    assert f"asset {asset} belongs into shard east, but shard west has prices of it" in refused.err
    assert ask(spread.engines["west"], f"SELECT count(*) FROM {SOURCE} WHERE id = {asset}") == [(1,)]


def test_one_database_is_not_two_shards(spread: Spread) -> None:
    """What is moved between two names of one database would be gone: neither moves nor additions begin."""
    prices = ask(spread.engines["east"], f"SELECT count(*) FROM {SOURCE}")
    text = spread.file.read_text()
    twice = Spread(
        folder=spread.folder,
        engines=spread.engines,
        whole=spread.whole,
        file=spread.file,
        environ={**spread.environ, "NORTH_URL": address(spread.engines["east"])},
    )
    refused = twice.shards("add", "north", "NORTH_URL", code=ExitCode.CANNOT_START)
    assert "shards east and north are the same database" in refused.err
    assert spread.file.read_text() == text
    spread.file.write_text(f'{text}north = "NORTH_URL"\n')
    asset = spread.layout.split(IDS)["east"][0]
    twice.shards("move", str(asset), "--to", "north", code=ExitCode.CANNOT_START)
    assert ask(spread.engines["east"], f"SELECT count(*) FROM {SOURCE}") == prices
