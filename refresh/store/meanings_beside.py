"""What the tables beside bars and averages mean, and the views of the history, in the words of the documents.

A line has the columns and, after a colon, the meaning of each of them; an indented line continues the one above.
"""

from __future__ import annotations

from collections.abc import Mapping

from refresh.store.dimension_tables import ASSETS, CALENDARS
from refresh.store.tables import LEDGER, MONTHS, OUTCOMES, REJECTS, RUNS, SETTINGS, STEPS, VALIDATIONS

COLUMNS: Mapping[str, str] = {
    REJECTS: """
id: the asset of the row
timestamp: that of the row
reason: why it was refused, e.g. `nonpositive_ohlc`
copy: 1, 2, 3 ... among rows of the same asset, timestamp and reason
number: counts the rows ever written: the key of the table
timeopen timeclose timehigh timelow open high low close volume marketcap: as the source has it
run_id: the run that refused it
rejected_at: when it was refused
""",
    MONTHS: """
id: the asset
month: the first day of the month
row_count: the number of rows that the source had
digest: a number that is the same as long as the values of these rows are
""",
    LEDGER: """
id: the asset
first_day: the first day that was changed, deleted, or added before the last known day
last_day: the last such day
rows_changed: the number of such days
old_close: the close of the first day that was known; NULL if there was none
new_close: the close that replaced it; NULL if there is none
reason: what happened, in words
run_id: the run that accepted it
noted_at: when it was accepted
number: counts the lines: the key of the table
""",
    "dim_timeframe": """
tf: the label; it follows from the other columns
base_unit: `D`, `W`, `M` or `Y`
tf_qty: the number of these units
tf_days_nominal: days, for EMAs: n, 7n, 30n or 365n; at most 1,000,000
alignment: `rolling` (days only), `aligned` or `anchored` (the other units only)
calendar_scheme: `US` or `ISO` for weeks, NULL for other units
is_enabled: whether it is refreshed
sort_order: its position in lists
""",
    "dim_period": """
period: in bars, from 1 to 1,000,000
is_enabled: whether it is refreshed
sort_order: its position in lists
""",
    ASSETS: """
id: the asset
symbol: what `--ids` takes for it, in any case: `--ids AAPL,52`. One that is a number, or `all`, is taken for an id, or
  for all assets
name: a name, for yourself
calendar: `auto`, `24/7`, weekdays or a market; `auto` by default
""",
    CALENDARS: """
calendar: the name in the state: that in `dim_asset`, and a digest of the sessions
market: the market, as exchange_calendars names it
release: the release of that package
week: a bit for each weekday that trades, Monday is 1
closed: weekdays without a session, in days since 1970
opened: other days with a session, in days since 1970
""",
    "ema_alpha_lookup": """
tf: the timeframe of the series
period: the period of the series
tf_days: N
effective_days: N p
alpha_bar: 2 / (p + 1)
alpha_daily_horizon: 2 / (N p + 1)
alpha_daily_equivalent: 1 - (1 - alpha)^(1/N)
""",
    SETTINGS: """
name: `tz`, `fold` or `schema`; other names are notes of the program for itself
value: the time zone in which a day starts; the assets that are folded; the
  [layout of the tables](operations.md#updates)
""",
    RUNS: """
run_id: the run: the moment of its start
command: what was typed, without the address of the database
arguments: the arguments that narrowed it
resumes: the run that it resumed
host: the machine
pid: the process
started_at: when it started
ended_at: when it ended; NULL while it is running, and if it was killed
exit_code: its exit code
assets: the number of assets
rows: the number of rows written
summary: the result as JSON
program: daily, bars, emas or builder
builders: the keys of the builders that it was about
asset_ids: the assets that it was narrowed to; NULL: all
program_version: the version of the program that ran
bytes: the size of all tables on disk when a refresh ended, with indexes
""",
    STEPS: """
run_id: the run
builder: the builder
place: its position in the plan
assets: the number of assets
estimated_rows: the number of rows that the plan expected
started_at: when it started
ended_at: when it ended
seconds: how long it took
rows: the number of rows written
""",
    OUTCOMES: """
run_id: the run
builder: the builder
id: the asset
status: done, failed, skipped or not reached
rows: the number of rows written
seconds: how long its batch took, divided among its assets
reason: why there was something to do
error: why it failed
retries: the number of retries after an interruption of the database
notes: repairs, refused rows and gaps by kind
noted_at: when this was noted
""",
    VALIDATIONS: """
run_id: the run that it followed, or its own moment
validated_at: when it ended
judged: the number of assets that were compared with the daily bars
recomputed: the assets that were computed again from the source
pending: the assets that were not judged, because they wait to be refreshed
seconds: how long it took
findings: what was wrong, as the JSON document has it
program_version: the version of the program that validated
""",
    "refresh_slowest_steps": """
run_id: the run
builder: the builder
seconds: how long it took; the slowest step is first
rows: the number of rows written
assets: the number of assets
rows_per_second: the speed; NULL for a step that took no time
started_at: when it started
""",
    "refresh_flaky_assets": """
id: the asset
builder: the builder
failures: the number of runs of the last thirty days in which it failed
successes: the number of those in which it was done
retries: the number of retries in them
last_failed_at: when it failed last
last_error: why it failed then
""",
    "refresh_last_good": """
id: the asset
builder: the builder
run_id: the run that last did it
done_at: when that was
rows: the number of rows written
reason: why there was something to do
""",
    "refresh_freshness": """
id: the asset
table_name: the table or view of bars or EMAs
source_ts: the last `timestamp` of the asset in the source; NULL if it is gone from there
last_ts: how far the table has come, in the enabled series that is furthest behind; refused rows count as seen
days_behind: days from the one to the other, 0 where nothing is missing; NULL where nothing is built or to be built
dirty_from: rows from this time on wait to be rewritten; NULL if none do
updated_at: when a run last wrote the state of the table
""",
}
"""The columns of each of them."""

ROWS: Mapping[str, str] = {
    REJECTS: "a daily price that was refused, and why",
    MONTHS: "the size and digest of a month of an asset's prices when it was last read",
    LEDGER: "a change of known prices: the ledger",
    "dim_timeframe": "a timeframe; yours to add to and to disable",
    ASSETS: "the symbol, name and calendar of an asset; yours to fill, rows are optional",
    CALENDARS: "the sessions of a market that some asset has had as its calendar",
    "dim_period": "an EMA period; yours to add to and to disable",
    "ema_alpha_lookup": "the smoothing factors of a timeframe and period",
    RUNS: "a run",
    STEPS: "a builder in a run",
    OUTCOMES: "an asset in a builder in a run",
    VALIDATIONS: "a validation",
    SETTINGS: "a choice that the tables were built with, or a note of the program",
    "refresh_slowest_steps": "a step that ended, the slowest first",
    "refresh_flaky_assets": "an asset in a builder that failed or was retried in the last thirty days",
    "refresh_last_good": "an asset in a builder, and when it was last done",
    "refresh_freshness": "an asset in a table, and how far that is behind the source",
}
"""What one row of each of them is."""
