"""Rows of a price table with every value that its types admit, among good ones; and what the documents say of each.

The second opinion is SQL of a single statement per question, written from docs/bars.md and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from hypothesis import strategies as st
from refreshing import NOW
from sqlalchemy import Engine
from statements import ask

FIRST = date(2024, 1, 1)
GOOD_DAYS = 12
GOOD = (1, 2)
"""Assets of which every day is good before anything is added."""
OTHERS = (0, -1, 3, 2_147_483_647, -2_147_483_648)
COLUMNS = (
    *("id", "timestamp", "timeopen", "timeclose", "timehigh", "timelow", "open", "high", "low", "close", "volume"),
    *("marketcap", "circulatingsupply", "name", "source_file", "load_ts"),
)
TIMES = (
    *("infinity", "-infinity", "4714-11-24 00:00:00+00 BC", "4713-01-01 BC", "0044-03-15 BC", "0001-01-01 BC"),
    *("0001-01-01", "0001-01-02", "0001-02-03 04:05:06.789", "1582-10-10", "1969-12-31 23:59:59.999999", "1970-01-01"),
    *(
        "2023-12-31 23:59:59.999999",
        "2024-01-05 11:00",
        "2024-02-29 12:00",
        "2030-01-02 23:00",
        "2030-01-04",
        "9998-06-01",
    ),
    *("9999-12-30 12:00", "10000-01-01", "20240-01-01", "293999-06-01", "294276-12-31 23:59:59.999999"),
)
PRICES = (
    *("NaN", "Infinity", "-Infinity", "0", "-0", "-1", "5e-324", "2.2250738585072014e-308", "1e-300", "1e-9", "0.1"),
    *("11.000000000000002", "1e9", "1e15", "1e100", "1e300", "1e308", "1.7976931348623157e308"),
)
NUMERICS = (
    *("1e400", "-1e400", "1e-400", "1e-310", "0.1000000000000000055511151231257827021181583404541015625", "1e130000"),
    *("9" * 1_000, "0." + "0" * 400 + "1", "17976931348623157" + "0" * 292, "179769313486231580" + "0" * 291),
)
TEXTS = (
    *(
        "''",
        "repeat('x', 1000000)",
        "repeat('\u039e', 600)",
        "repeat('\u039e', 512)",
        r"E'a\tb\nc\\'",
        r"'\N'",
        r"E'\x01'",
    ),
    *("'NULL'", r"E'\u202e'", "'\u039e'", "repeat(E'\\n', 2000)"),
)


def literal(value: str) -> str:
    """A value as SQL; ``NULL`` as it is."""
    return value if value == "NULL" else f"'{value}'"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A row as SQL, by column."""

    values: dict[str, str]

    @property
    def key(self) -> tuple[str, str]:
        """What a table with a primary key has once."""
        return self.values["id"], self.values["timestamp"]

    @property
    def inserted(self) -> str:
        """The values in the order of ``COLUMNS``."""
        return ", ".join(self.values[name] for name in COLUMNS)


def good_row(id: int, day: int) -> Row:
    """A row without a fault."""
    start = FIRST + timedelta(days=day)
    values = dict.fromkeys(COLUMNS, "NULL") | {
        "id": str(id),
        "timestamp": f"'{start} 23:59:59.999'",
        "timeopen": f"'{start}'",
        "timeclose": f"'{start} 23:59:59.999'",
        "timehigh": f"'{start} 15:00'",
        "timelow": f"'{start} 09:00'",
        "open": "10",
        "high": f"{20 + day % 3}",
        "low": f"{5 + day % 2}",
        "close": f"{10 + day}.25",
        "volume": "1000",
        "marketcap": "5000",
        "name": "'Coin'",
    }
    return Row(values=values)


@st.composite
def hostile_rows(draw: st.DrawFn, *, numerics: bool, nulls: bool) -> list[Row]:
    """Rows of which some columns have any value of their type. ``nulls``: ids and times may be NULL."""
    prices = st.sampled_from([*PRICES, *(NUMERICS if numerics else ()), "NULL"]).map(literal)
    times = st.sampled_from([*TIMES, "NULL"]).map(literal)
    kinds = {
        "name": st.sampled_from([*TEXTS, "NULL"]),
        "source_file": st.sampled_from([*TEXTS, "NULL"]),
        "load_ts": times,
    }
    kinds |= dict.fromkeys(("timeopen", "timeclose", "timehigh", "timelow"), times)
    kinds |= dict.fromkeys(("open", "high", "low", "close", "volume", "marketcap", "circulatingsupply"), prices)
    rows = []
    for _ in range(draw(st.integers(1, 12))):
        id = draw(st.sampled_from([*GOOD, *OTHERS]))
        values = dict(good_row(id, draw(st.integers(GOOD_DAYS, 80))).values)
        for column in draw(st.sets(st.sampled_from(sorted(kinds)), max_size=4)):
            values[column] = draw(kinds[column])
        if draw(st.integers(0, 3)) == 3:
            values["timestamp"] = draw(times if nulls else st.sampled_from(TIMES).map(literal))
        if nulls and draw(st.integers(0, 12)) == 12:
            values["id"] = draw(st.sampled_from(["NULL", "5000000000", "-5000000000"] if numerics else ["NULL"]))
        rows.append(Row(values=values))
    return list({row.key: row for row in rows}.values())


YEARS = "BETWEEN '0001-01-02' AND '9999-12-30 23:59:59.999999'"
NOT_FINITE = "IN ('NaN', 'Infinity', '-Infinity')"
JUDGED = f"""
    SELECT *, ("timestamp" AT TIME ZONE 'UTC')::date AS day, CASE
        WHEN open IS NULL OR high IS NULL OR low IS NULL OR close IS NULL THEN 'null_ohlc'
        WHEN open {NOT_FINITE} OR high {NOT_FINITE} OR low {NOT_FINITE} OR close {NOT_FINITE} THEN 'nonfinite_ohlc'
        WHEN least(open, high, low, close) <= 0 THEN 'nonpositive_ohlc'
        WHEN "timestamp" IS NULL OR "timestamp" NOT BETWEEN '0001-01-02' AND '293999-12-31 23:59:59.999999'
          OR (timeopen {YEARS} AND timeclose {YEARS}) IS NOT TRUE THEN 'null_time'
        WHEN timeopen > timeclose THEN 'time_order'
        WHEN volume < 0 OR volume {NOT_FINITE} THEN 'bad_volume'
        WHEN "timestamp" > '{NOW:%Y-%m-%d}'::timestamptz + interval '2 days' THEN 'future_timestamp' END AS fault
    FROM floats
"""
RANKED = f"""
    SELECT *, row_number() OVER (PARTITION BY id, day ORDER BY "timestamp" DESC) AS place
    FROM ({JUDGED}) AS j WHERE fault IS NULL
"""
SHORT = "CASE WHEN octet_length({0}) > 1024 THEN left({0}, 256) ELSE {0} END"
BARS = f"""
    SELECT id, "timestamp", row_number() OVER (PARTITION BY id ORDER BY "timestamp") AS bar_seq,
           timeopen AS time_open, timeclose AS time_close,
           CASE WHEN timehigh {YEARS} THEN greatest(least(timehigh, timeclose), timeopen)
                WHEN close >= open THEN timeclose ELSE timeopen END AS time_high,
           CASE WHEN timelow {YEARS} THEN greatest(least(timelow, timeclose), timeopen)
                WHEN close >= open THEN timeopen ELSE timeclose END AS time_low,
           open, greatest(open, high, close) AS high, least(open, low, close) AS low, close, volume,
           nullif(marketcap, 'NaN') AS market_cap, high < greatest(open, close) AS repaired_high,
           low > least(open, close) AS repaired_low,
           (timehigh {YEARS} AND timehigh BETWEEN timeopen AND timeclose) IS NOT TRUE AS repaired_timehigh,
           (timelow {YEARS} AND timelow BETWEEN timeopen AND timeclose) IS NOT TRUE AS repaired_timelow,
           {SHORT.format("name")} AS src_name, {SHORT.format("source_file")} AS src_file
    FROM ({RANKED}) AS r WHERE place = 1
"""
REJECTS = f"""
    SELECT id, coalesce(fault, 'duplicate_day') AS reason, open, high, low, close, volume, marketcap
    FROM ({JUDGED}) AS j WHERE fault IS NOT NULL OR EXISTS (
        SELECT FROM ({RANKED}) AS r WHERE r.id = j.id AND r."timestamp" = j."timestamp" AND r.place > 1)
"""
FLOATS = """CASE WHEN {0} <> 0 AND abs({0}) < 1e-300 THEN 0::float8 WHEN {0} <> 'NaN' AND abs({0}) > 1.7e308
    THEN sign({0}) * 'Infinity'::float8 ELSE {0}::float8 END AS {0}"""
"""A numeric that no float8 can hold is infinite, or zero."""


def differences(engine: Engine, *, numerics: bool) -> dict[str, list[tuple[str, ...]]]:
    """The bars and the rejects that only one of the documents and the tables has; nothing if they agree."""
    numbers = ("open", "high", "low", "close", "volume", "marketcap")
    shown = [(FLOATS if numerics else "{0}").format(name) for name in numbers]
    times = '"timestamp", timeopen, timeclose, timehigh, timelow, name, source_file'
    floats = f"""WITH floats AS MATERIALIZED (SELECT id::int AS id, {times}, {", ".join(shown)}
        FROM cmc_price_histories7 WHERE id BETWEEN -2147483648 AND 2147483647)"""
    stored = {
        BARS: f"SELECT {', '.join(_BAR_COLUMNS)} FROM cmc_price_bars_1d",
        REJECTS: f"SELECT id, reason, {', '.join(numbers)} FROM cmc_price_bars_1d_rejects",
    }
    found = {}
    for expected, present in stored.items():
        for name, first, second in (("missing", expected, present), ("made up", present, expected)):
            rows = ask(engine, f"{floats} ({first}) EXCEPT ALL ({second})")
            if rows:
                found[f"{name} {present.split()[-1]}"] = [tuple(str(value)[:60] for value in row) for row in rows[:3]]
    return found


_BAR_COLUMNS = (
    *("id", '"timestamp"', "bar_seq", "time_open", "time_close", "time_high", "time_low", "open", "high", "low"),
    *("close", "volume", "market_cap", "repaired_high", "repaired_low", "repaired_timehigh", "repaired_timelow"),
    *("src_name", "src_file"),
)
