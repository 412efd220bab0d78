"""What the columns of bars, averages and their states mean, in the words of the documents.

A line has the columns and, after a colon, the meaning of each of them; an indented line continues the one above.
"""

from __future__ import annotations

DAYS = """
id: the asset
timestamp: that of the source; its date is the day
tf: `1D`
bar_seq: 1, 2, 3 ... by time
time_open: `timeopen` of the source
time_close: `timeclose` of the source
time_high: the time of the high
time_low: the time of the low
open high low close volume market_cap: the value of the day
is_partial_start is_partial_end: false: a day is always whole
is_missing_days: whether sessions since the previous bar have no bar
count_missing_days: the number of sessions since the previous bar that have no bar
repaired_high: whether the high was below open or close, and is the higher of the two
repaired_low: whether the low was above open or close, and is the lower of the two
repaired_timehigh: whether the time of the high was filled in, because the source has none within the day
repaired_timelow: whether the time of the low was filled in, because the source has none within the day
src_name: `name` of the source; of a text of more than 1,024 bytes the first 256 characters
src_load_ts: `load_ts` of the source
src_file: `source_file` of the source, shortened in the same way
ingested_at: when this row was written
"""
SNAPSHOTS = """
id: the asset
timestamp: that of the daily bar at whose close this is the state of the bar
tf: the timeframe
tf_days: days in the window: n for rolling, 7n for weeks, the real length for months and years
bar_seq: 1, 2, 3 ... per asset and timeframe; windows without any daily bar are not counted
pos_in_bar count_days: daily bars in the bar up to this day (both columns are the same)
count_days_remaining: rolling: daily bars to come; calendar: days from this day to the last day of the window
time_open: `time_open` of the bar's first day
time_close: `time_close` of this day
time_high: the time of the bar's high, on the earliest day with it
time_low: the time of the bar's low, on the earliest day with it
open: open of the bar's first day
close: close of this day
high: the highest price up to this day
low: the lowest price up to this day
volume: the sum up to this day, without NULLs; NULL if all are NULL
market_cap: that of this day
is_partial_start: true if the window began before the asset's first day: only anchored timeframes, only their first bar
is_partial_end: true while the bar forms, false on the canonical snapshot
is_missing_days: whether sessions have no daily bar, from the window's start to this day; rolling: from the first day in
  the bar; never from before the asset's first day
count_missing_days: the number of such sessions
count_missing_days_start: the number of missing days before the bar's first day
count_missing_days_interior: the number of missing days after the bar's first day
first_missing_day: the first missing day
last_missing_day: the last missing day
ingested_at: when this row was written
"""
AVERAGES = """
id: the asset
ts: the `timestamp` of the daily bar
tf: the timeframe of the series
period: the period of the series, in bars
tf_days: N, the nominal days of the timeframe
"""
AVERAGES_END = """
ingested_at: when this row was written
"""
ROLL = "false on canonical days, true between them; `v2`: false on every N-th daily bar of the asset"
ROLL_AGAIN = "equals `{roll}`"
VALUES = {
    "ema": "the EMA, as [its table](#the-tables) defines it",
    "ema_bar": "the EMA that on canonical days is that of the bars",
}
"""The meaning of an average by its column."""
OTHER_VALUE = "the average"
DIFFERENCES = (
    "on canonical rows: `{value}` minus the `{value}` of the canonical row before",
    "on canonical rows: `{d1}` minus the `{d1}` of the canonical row before",
    "`{value}` minus the `{value}` of the row before",
    "`{d1_roll}` minus the `{d1_roll}` of the row before",
)
"""Of an average's differences, in their order."""

PACKED = """
id: the asset
ts: the daily close
shelf: part of the series: a row has room for 64, or for 30 with two averages, so that four rows fill a page
closed: a bit for each series, the lowest first: 1 where the view has `roll` = false
"""
PACKED_VALUE = "`{name}` of each series; NULL, or nothing at the end, where there is none"
PLACES = """
tf: the timeframe of the series
period: the period of the series
tf_days: N, the nominal days of the timeframe
shelf: the `shelf` of its rows
place: its place in their arrays, counted from 1; it is never given to another series
"""
DAILY_STATE = """
id: the asset
last_src_ts: `timestamp` of the last daily bar
daily_min_seen: `timestamp` of the first daily bar
last_run_ts: the clock of the last run that had work on the asset
last_upserted: the number of bars that this run wrote
last_repaired_high last_repaired_low last_repaired_timehigh last_repaired_timelow: the number of such repairs in the
  days that this run read
last_rejected: the number of refused rows in the days that this run read
version: the version of the formulas that made the bars; 0 if somebody deleted some of them
is_folded: whether they were [folded](#rows-finer-than-a-day) from rows finer than a day; NULL in a row that an older
  program wrote
calendar: the [calendar](#calendars) in effect on the bars; NULL is 24/7
"""
_SERIES_STATE = """
seen_ts: the last daily bar that is processed
last_ts: the last row: `seen_ts`, or NULL while there is none
dirty_from: rows from this time on have to be rewritten; NULL if none have to
updated_at: when this row was written
version: the version of the formulas that made the rows; 0 if somebody deleted some of them
"""
BARS_STATE = f"""
id: the asset
tf: the timeframe
{_SERIES_STATE}"""
EMAS_STATE = f"""
id: the asset
tf: the timeframe
periods: the periods of the group, e.g. `{{10,14,20,30,50}}`
close_sum: the sum of the closes counted up to `seen_ts`; the first value of a period that is not defined yet will be
  made from it
{_SERIES_STATE}"""
TARGETS = {
    "cmc_price_bars_1d": "the bar of an asset and day",
    "cmc_price_bars_multi_tf": "a bar of n daily bars, at a daily close",
    "cmc_price_bars_multi_tf_cal_us": "an aligned calendar bar at a daily close, weeks from Sunday",
    "cmc_price_bars_multi_tf_cal_iso": "an aligned calendar bar at a daily close, weeks from Monday",
    "cmc_price_bars_multi_tf_cal_anchor_us": "an anchored calendar bar at a daily close, weeks from Sunday",
    "cmc_price_bars_multi_tf_cal_anchor_iso": "an anchored calendar bar at a daily close, weeks from Monday",
    "cmc_ema_multi_tf": "a day's EMA over rolling bars, with a preview while a bar forms",
    "cmc_ema_multi_tf_cal_us": "a day's EMA over calendar bars, weeks from Sunday",
    "cmc_ema_multi_tf_cal_iso": "a day's EMA over calendar bars, weeks from Monday",
    "cmc_ema_multi_tf_cal_anchor_us": "a day's EMA over anchored bars, weeks from Sunday",
    "cmc_ema_multi_tf_cal_anchor_iso": "a day's EMA over anchored bars, weeks from Monday",
    "cmc_ema_multi_tf_v2": "a day's EMA over daily closes, as long as a timeframe's",
}
"""What one row of each is."""
