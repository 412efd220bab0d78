"""The statements that concern all assets at once: what each asks, and why it names no id. docs/scale.md has them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Survey:
    """A statement without a condition on ``id``, known by a part of its text.

    BARS, EMAS stand for the tables of snapshots and of averages. ``asks``: what it does; ``why``: why of all assets;
    ``spread``: what a server could do that spreads rows by id, as far as the documents of Citus say.
    """

    part: str
    asks: str
    why: str
    spread: str


RECURSIVE = "not at all: a recursive query on one shard only"
SHARDS = "each shard its own, then merged"
JOINED = "each shard its own, joined by id"
FOR_MERGING = "each shard its own; digests compared where the query began"
LOCAL = "in the copy of each machine"


SURVEYS = (
    Survey(
        "SELECT id::int FROM ( WITH RECURSIVE assets",
        "every id of the source and of the bars",
        "new assets",
        RECURSIVE,
    ),
    Survey("SELECT a.id::int AS id, (", "the last time of each asset of the source", "who is behind", RECURSIVE),
    Survey(
        "FROM current c FULL JOIN processed p",
        "digests of all months of the source",
        "any price may change",
        FOR_MERGING,
    ),
    Survey("SELECT DISTINCT id, date_trunc(", "refused rows that have come of age", "a look into a small table", LOCAL),
    Survey(
        "SELECT sum(row_count)::int FROM", "states of daily bars beside their table", "any rows may be lost", RECURSIVE
    ),
    Survey("SELECT id, btrim(calendar) AS calendar", "calendars of assets", "a look into a small table", SHARDS),
    Survey("SELECT count(*) FROM ( SELECT id FROM", "the number of assets", "the share that is restated", RECURSIVE),
    Survey(
        "AS s WHERE NOT EXISTS (SELECT FROM cmc_price_histories7",
        "assets gone from the source",
        "who is missing",
        RECURSIVE,
    ),
    Survey(
        "needed AS ( SELECT i.id",
        "whether all series of a table are where their input is",
        "the answer is one bit",
        JOINED,
    ),
    Survey(
        "WITH wanted AS (SELECT DISTINCT tf", "series that are not, if there are any", "only now are they known", JOINED
    ),
    Survey("SELECT tf FROM BARS_state UNION", "timeframes that were ever built", "disabled ones are named", SHARDS),
    Survey("SELECT unnest(periods) AS period", "periods that were ever built", "disabled ones are named", SHARDS),
    Survey("greatest(last_src_ts, (", "how far the daily bars of each asset reach", "who is behind", JOINED),
    Survey("SELECT id, min(seen_ts) AS seen FROM", "how far each asset is in a table", "who is behind", SHARDS),
    Survey("FROM refresh_restatements WHERE run_id", "restatements of a run", "asked by run", LOCAL),
    Survey("SELECT o.builder, o.id, (", "what failed in a run", "asked by run", JOINED),
    Survey("SELECT DISTINCT ON (o.builder, o.id)", "what failed and was not done since", "asked by run", JOINED),
    Survey("DELETE FROM refresh_outcomes", "forgets old outcomes", "asked by age", JOINED),
    Survey(
        "t.ctid = ANY(",
        "deletes rows that were read before",
        "by address, which is a third of the time by key",
        "not at all: each shard has rows at the same addresses",
    ),
    Survey(
        "SELECT id FROM cmc_price_bars_1d_state s WHERE version",
        "validation: states to be rebuilt",
        "any of them",
        JOINED,
    ),
    Survey("SELECT id FROM ( SELECT id, max(last_ts)", "validation: the same in each table", "any of them", JOINED),
    Survey("WITH RECURSIVE owners", "validation: every id that a table has", "rows of nobody", RECURSIVE),
)
"""The first one that fits is the one that is meant."""


def table() -> str:
    """What docs/scale.md says of them, in markdown."""
    rows = [f"| {survey.asks} | {survey.why} | {survey.spread} |\n" for survey in SURVEYS]
    return "| what it asks | why of all assets | on rows spread by id |\n|---|---|---|\n" + "".join(rows)
