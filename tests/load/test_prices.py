"""The contents of price files, form by form; and rows written in any dialect are read back equal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresh.core.rows import NULL_TEXT, Rows, stack
from refresh.load.assets import Asset, Assignment
from refresh.load.cell_numbers import Decimal
from refresh.load.cell_times import DateOrder
from refresh.load.days import Zone
from refresh.load.header import PriceFileError, read_header
from refresh.load.lines import PriceText
from refresh.load.notation import Notation, settle
from refresh.load.prices import Reading as How
from refresh.load.prices import provided_columns, read_prices

OHLC = "open,high,low,close"
PRICES = "4,5,3,4.5"


@dataclass(frozen=True)
class Reading:
    """All rows of a text, its bad lines as they are printed, and the columns it provides."""

    rows: Rows
    bad: list[str]
    provided: frozenset[str]

    def cell(self, name: str, row: int = 0) -> Any:
        """A value as Python has it: a time in ISO, None for NULL."""
        value = self.rows[name][row]
        if value.dtype.kind == "M":
            return None if np.isnat(value) else str(value.astype("M8[ms]"))
        if value.dtype.kind == "S":
            return None if value == NULL_TEXT else value.decode()
        return None if np.isnan(value) else value.item()


def read(
    text: str, asset: Asset | Assignment | None = None, order: DateOrder | None = None,
    decimal: Decimal | None = None, tz: str = "UTC",
) -> Reading:  # fmt: skip
    """Read a text as a price file."""
    asset = asset or Asset(id=1, name="Bitcoin")
    assignment = Assignment(asset=asset) if isinstance(asset, Asset) else asset

    def from_start() -> Iterator[str]:
        return iter(io.StringIO(text))

    header = read_header(from_start())

    def lines() -> Iterator[str]:
        remaining = from_start()
        for _ in range(header.line):
            next(remaining)
        return remaining

    file = PriceText(header=header, lines=lines)
    notation = settle(file, Notation(order=order, decimal=decimal))
    blocks = list(read_prices(file, How(assignment=assignment, notation=notation, zone=Zone(tz))))
    return Reading(
        rows=stack([block.rows for block in blocks]),
        bad=[str(line) for block in blocks for line in block.bad],
        provided=provided_columns(header, assignment),
    )


def dated(*dates: str, order: DateOrder | None = None) -> Reading:
    """Read a file of these dates with the same prices on each."""
    titles, prices = OHLC.replace(",", ";"), PRICES.replace(",", ";")
    lines = [f"{date};{prices}" for date in dates]
    return read("\n".join([f"date;{titles}", *lines]), None, order)


def opened(*numbers: str) -> Reading:
    """Read a file of these opening prices, a day each."""
    lines = [f"2013-04-{day:02};{number};5;3;4" for day, number in enumerate(numbers, 1)]
    return read("\n".join(["date;open;high;low;close", *lines]))


CMC = """timeOpen;timeClose;timeHigh;timeLow;open;high;low;close;volume;marketCap;timestamp
"2023-09-10T00:00:00.000Z";"2023-09-10T23:59:59.999Z";"2023-09-11T00:04:00.000Z";"2023-09-10T19:42:00.000Z";\
0.89;0.9;0.83;0.84;151290624.39;1076257092.99;"2023-09-10T23:59:59.999Z"
"""


def test_cmc_export() -> None:
    """An export without circulating supply keeps its times as written, and does not provide the supply."""
    reading = read(CMC)
    assert reading.bad == []
    assert {name: reading.cell(name) for name in reading.rows if name not in {"day", "stamped"}} == {
        "line": 2, "id": 1, "name": "Bitcoin",
        "timestamp": "2023-09-10T23:59:59.999", "timeopen": "2023-09-10T00:00:00.000",
        "timeclose": "2023-09-10T23:59:59.999", "timehigh": "2023-09-11T00:04:00.000",
        "timelow": "2023-09-10T19:42:00.000",
        "open": 0.89, "high": 0.9, "low": 0.83, "close": 0.84, "volume": 151290624.39, "marketcap": 1076257092.99,
    }  # fmt: skip
    assert "circulatingsupply" not in reading.provided


def test_cmc_export_with_supply() -> None:
    """An export with circulating supply is read too, and its ``name`` is not used as the asset's name."""
    text = (
        "timeOpen;timeClose;timeHigh;timeLow;name;open;high;low;close;volume;marketCap;circulatingSupply;timestamp\n"
        '"2025-12-06T00:00:00.000Z";"2025-12-06T23:59:59.999Z";"2025-12-06T14:19:00.000Z";"2025-12-06T23:27:00.000Z";'
        '"2781";1;4;0.5;2;3;4;19958540;"2025-12-06T23:59:59.999Z"\n'
    )
    assert read(text).cell("circulatingsupply") == 19958540
    assert read(text).cell("name") == "Bitcoin"
    nameless = read(text, Asset(id=1))
    assert "name" not in nameless.rows
    assert "name" not in nameless.provided


def test_kaggle_form() -> None:
    """Padded columns are read; the only time of a day is its timestamp and timeclose, and timeopen its UTC midnight."""
    reading = read(
        "SNo , Name    , Symbol, Date               , High , Low  , Open , Close, Volume, Marketcap\n"
        "1   , Ethereum, ETH   , 2015-08-08 23:59:59, 2.79 , 0.71 , 2.79 , 0.75 , 674188.0, 45486894.2408\n",
        Asset(id=1027),
    )
    assert reading.bad == []
    assert reading.cell("timestamp") == reading.cell("timeclose") == "2015-08-08T23:59:59.000"
    assert reading.cell("timeopen") == "2015-08-08T00:00:00.000"
    assert reading.cell("name") == "Ethereum"
    assert not {"timehigh", "timelow"} & reading.rows.keys()
    assert not {"timeopen", "timeclose"} & reading.provided


def test_plain_file_of_several_assets() -> None:
    """A column of ids identifies the assets; a name, or else a symbol, beside it names them."""
    text = f"ID|Name|Ticker|Date|{OHLC}\n7|Ay|A|2013-01-01|{PRICES}\n8||B|2013-01-01|{PRICES}\n"
    reading = read(text.replace(",", "|"), Asset())
    assert reading.bad == []
    assert [reading.cell("id", row) for row in (0, 1)] == [7, 8]
    assert [reading.cell("name", row) for row in (0, 1)] == ["Ay", "B"]


def test_ids_that_contradict() -> None:
    """A line with another id than the file's asset is bad."""
    assert read(f"id,date,{OHLC}\n1,2013-01-01,{PRICES}\n2,2013-01-01,{PRICES}\n").bad == [
        "3: id: 2: the file is for asset 1"
    ]


def test_symbols_alone() -> None:
    """A file whose assets differ only by symbol is refused, because their rows would overwrite each other."""
    with pytest.raises(
        PriceFileError, match=r"contains several assets, told apart by symbol \(A, B\), and no id column"
    ):
        read(f"symbol,date,{OHLC}\nA,2013-01-01,{PRICES}\nB,2013-01-01,{PRICES}\n")


@pytest.mark.parametrize(
    "titles",
    ["Date,OPEN,High,l o w,close", "  timestamp , open,high,low,clo_se", '"Date Time","Open","High","Low","Close"'],
)
def test_titles(titles: str) -> None:
    """Case, spaces, underscores and quotes in a title do not matter."""
    assert read(f"{titles}\n2013-04-29,{PRICES}\n").cell("close") == 4.5


def test_better_title_wins() -> None:
    """If several columns could be the timestamp, the column of that name is used."""
    reading = read(f"date,timestamp,{OHLC}\n2013-01-01,2013-01-01T12:00:00Z,{PRICES}\n")
    assert reading.cell("timestamp") == "2013-01-01T12:00:00.000"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("date,open,high\n", r"lacks low, close; line 1 is: date,open,high"),
        ("1735603200000,9,9,9,9\n", r"has no header; put a line with the titles .* such as date,open,high,low,close"),
        ("\n\nopen,high,low,close\n", r"lacks timestamp \(or date\); line 3"),
        ("", "is empty"),
        (f"date,{OHLC},Close\n", "names close more than once"),
        ("PK\x03\x04\x1b[31m", r"line 1 is: PK\\x03\\x04\\x1b\[31m"),
    ],
)
def test_unusable_header(header: str, message: str) -> None:
    """An unusable header is refused in one printable line that names what it lacks."""
    with pytest.raises(PriceFileError, match=message):
        read(header)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators(separator: str) -> None:
    """The separator is the character that yields the columns."""
    assert read(f"date,{OHLC}\n2013-04-29,{PRICES}\n".replace(",", separator)).cell("low") == 3


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2013-04-29T23:59:59.999Z", "2013-04-29T23:59:59.999"),
        ("2013-04-29T23:59:59", "2013-04-29T23:59:59.000"),
        ("2013-04-29 23:59:59.123456", "2013-04-29T23:59:59.123"),
        ("2013-04-29 23:59:59.123456789+00:00", "2013-04-29T23:59:59.123"),
        ("2013-04-29T23:59:59+05:30", "2013-04-29T18:29:59.000"),
        ("2013-04-29 23:59:59 -0500", "2013-04-29T23:59:59.999"),
        ("2013-04-29 23:59:59 UTC", "2013-04-29T23:59:59.000"),
        ("2013-04-29 9:30", "2013-04-29T09:30:00.000"),
        ("2013-04-29", "2013-04-29T23:59:59.999"),
        ("2013-4-9", "2013-04-09T23:59:59.999"),
        ("2013/04/29", "2013-04-29T23:59:59.999"),
        ("20130429", "2013-04-29T23:59:59.999"),
        ("04/29/2013", "2013-04-29T23:59:59.999"),
        ("4/29/2013 9:30", "2013-04-29T09:30:00.000"),
        ("29.04.2013", "2013-04-29T23:59:59.999"),
        ("29-4-2013 23:59:59", "2013-04-29T23:59:59.000"),
        ("1367279999", "2013-04-29T23:59:59.000"),
        ("1367279999.5", "2013-04-29T23:59:59.500"),
        ("1367279999999", "2013-04-29T23:59:59.999"),
        ("1612051200000", "2021-01-31T23:59:59.999"),
        ("1367279999999000", "2013-04-29T23:59:59.999"),
        ("1367279999999000000", "2013-04-29T23:59:59.999"),
        ("2013-04-29T00:00:00.000000000Z", "2013-04-29T23:59:59.999"),
        ("2013-04-29 00:00:00+09:00", "2013-04-29T23:59:59.999"),
        ("2013-04-29 00:00:00-05:00", "2013-04-29T23:59:59.999"),
        ("20130429 160000", "2013-04-29T16:00:00.000"),
        ("Apr 29, 2013", "2013-04-29T23:59:59.999"),
        ("April 29 2013 4:05 PM", "2013-04-29T16:05:00.000"),
        ("Mon, 29 Apr 2013", "2013-04-29T23:59:59.999"),
        ("29-Apr-13", "2013-04-29T23:59:59.999"),
        ("29 April 1999", "1999-04-29T23:59:59.999"),
        ("2013-Apr-29", "2013-04-29T23:59:59.999"),
        ("04/29/13", "2013-04-29T23:59:59.999"),
        ("4/29/2013 12:00:00 AM", "2013-04-29T23:59:59.999"),
        ("4/29/2013 12:30 PM", "2013-04-29T12:30:00.000"),
    ],
)
def test_times(written: str, meant: str) -> None:
    """Every notation of a time is read, in UTC if it has no offset; a date means the last millisecond of its day."""
    reading = dated(written)
    assert reading.bad == []
    assert reading.cell("timestamp") == meant


@pytest.mark.parametrize(
    "written",
    [
        "2013-02-29", "2013-04-29T25:00:00", "2013-04-29T23:59:60Z", "2013-04-29T24:00:00Z", "yesterday",
        "29/29/2013", "1_367_279_999", "now", "NaT", "0000-01-01", "٢٠١٣-04-29", "13672799990000000000",
        "4/29/2013 13:00 PM", "Foo 29, 2013",
    ],
)  # fmt: skip
def test_not_a_time(written: str) -> None:
    """A cell that is not a time is reported, alone or among good ones, and costs no other line."""
    assert dated(written).bad == [f"2: date: {written}: not a time"]
    among = dated("2013-04-27", written, "2013-04-29")
    assert among.bad == [f"3: date: {written}: not a time"]
    assert among.rows["line"].tolist() == [2, 4]


@pytest.mark.parametrize("written", ["17", "2013", "45293", "86399", "-86400", "99999999"])
def test_numbers_that_may_be_times(written: str) -> None:
    """Days of a spreadsheet and early seconds cannot be told apart; the message says what to write."""
    bad = dated("2013-04-27", written).bad
    reason = "not a time; seconds since 1970 or days of a spreadsheet cannot be told apart: write 2024-01-31"
    assert bad == [f"3: date: {written}: {reason}"]


def test_mostly_not_times() -> None:
    """A file most of whose dates are something else is refused as a whole, also where one looks like a time."""
    with pytest.raises(PriceFileError, match=r"most of its times cannot be read: line 2: 86399: not a time; seconds"):
        dated("86399", "-86400", "99999999", "100000000")


def test_missing_times() -> None:
    """A row without a timestamp is bad, whatever else it contains; other times may be NULL."""
    lines = [",", "null,", "2013-01-01,", "2013-01-02,2013-01-02T05:00Z"]
    reading = read("\n".join([f"timestamp,timehigh,{OHLC}", *(f"{line},{PRICES}" for line in lines)]))
    assert reading.bad == ["2: timestamp: (empty): is missing", "3: timestamp: null: is missing"]
    assert [reading.cell("timehigh", row) for row in (0, 1)] == [None, "2013-01-02T05:00:00.000"]


@pytest.mark.parametrize("written", ["2013-04-29", "2013-04-29 00:00:00", "2013-04-29T00:00:00Z", "1367193600"])
def test_midnight(written: str) -> None:
    """Midnight says no more than a date: the day, which lasts from its midnight to its last millisecond."""
    reading = dated(written)
    assert reading.cell("timeopen") == "2013-04-29T00:00:00.000"
    assert reading.cell("timestamp") == reading.cell("timeclose") == "2013-04-29T23:59:59.999"


@pytest.mark.parametrize(
    ("written", "timestamp", "opens", "closes"),
    [
        ("2013-04-30T01:00:00+05:00", "2013-04-30T23:59:59.999", "2013-04-29T19:00:00.000", "2013-04-29T20:00:00.000"),
        ("2013-04-30 00:00:00+09:00", "2013-04-30T23:59:59.999", "2013-04-29T15:00:00.000", "2013-04-30T14:59:59.999"),
        ("2013-04-30 00:00:00-04:00", "2013-04-30T23:59:59.999", "2013-04-30T04:00:00.000", "2013-05-01T03:59:59.999"),
        ("2013-04-30 16:00:00-04:00", "2013-04-30T20:00:00.000", "2013-04-30T04:00:00.000", "2013-04-30T20:00:00.000"),
    ],
)
def test_day_of_an_offset(written: str, timestamp: str, opens: str, closes: str) -> None:
    """The day is the one that is written, and its bounds are those of the clock on which it is written."""
    reading = dated(written)
    assert [reading.cell(name) for name in ("timestamp", "timeopen", "timeclose")] == [timestamp, opens, closes]


@pytest.mark.parametrize(
    ("tz", "written", "timestamp", "opens"),
    [
        ("Asia/Tokyo", "2024-01-05", "2024-01-05T14:59:59.999", "2024-01-04T15:00:00.000"),
        ("America/New_York", "2024-03-10", "2024-03-11T03:59:59.999", "2024-03-10T05:00:00.000"),
        ("America/New_York", "2024-03-11", "2024-03-12T03:59:59.999", "2024-03-11T04:00:00.000"),
        ("America/New_York", "2024-01-05 16:00", "2024-01-05T21:00:00.000", "2024-01-05T05:00:00.000"),
        ("Asia/Tokyo", "2024-01-05T23:59:59.999Z", "2024-01-05T14:59:59.999", "2024-01-05T00:00:00.000"),
        ("America/New_York", "1704412800000", "2024-01-06T04:59:59.999", "2024-01-05T00:00:00.000"),
    ],
)
def test_day_in_a_zone(tz: str, written: str, timestamp: str, opens: str) -> None:
    """A date is that day in the zone, whatever side of Greenwich it is on and whatever its clocks do that day."""
    reading = read(f"date,{OHLC}\n{written},{PRICES}\n", tz=tz)
    assert [reading.cell(name) for name in ("timestamp", "timeopen")] == [timestamp, opens]


@pytest.mark.parametrize(
    ("dates", "meant"), [(("04/05/2013", "04/29/2013"), "2013-04-05"), (("04/05/2013", "29/04/2013"), "2013-05-04")]
)
def test_one_date_settles_the_order(dates: tuple[str, ...], meant: str) -> None:
    """A date that can be read in only one way settles how all are read, wherever it is in the file."""
    for arranged in (dates, dates[::-1], (*[dates[0]] * 5000, dates[1])):
        reading = dated(*arranged)
        assert reading.bad == []
        assert reading.cell("timestamp", arranged.index("04/05/2013")).startswith(meant)


@pytest.mark.parametrize(
    ("dates", "message"),
    [
        (("04/05/2013",), "is 2013-05-04 or 2013-04-05; use --dates dmy or --dates mdy"),
        (
            ("04/29/2013", "29/04/2013"),
            "its dates contradict each other .* in 04/29/2013; use --dates dmy or --dates mdy",
        ),
        (("04/05/06",), "is 2006-05-04 or 2006-04-05 or 2004-05-06; use --dates dmy or --dates mdy or --dates ymd"),
    ],
)
def test_order_left_open(dates: tuple[str, ...], message: str) -> None:
    """Dates that can be read in several ways are not guessed: the error has the readings and the option to use."""
    with pytest.raises(PriceFileError, match=message):
        dated(*dates)


@pytest.mark.parametrize(
    ("lines", "meant"),
    [
        (["02.01.2024;1;2;1;1"], "2024-01-02"),
        (["02/01/2024;1,5;2;1;1"], "2024-01-02"),
        (["02.13.2024;1;2;1;1"], "2024-02-13"),
    ],
)
def test_other_columns_settle_the_order(lines: list[str], meant: str) -> None:
    """Points between the parts, or decimal commas, are of places where the day comes first, if the dates fit that."""
    reading = read("\n".join(["date;open;high;low;close", *lines]))
    assert reading.cell("timestamp").startswith(meant)


def test_chosen_order() -> None:
    """The user's choice settles the order; a date that does not fit it is bad."""
    assert dated("04/05/2013", order=DateOrder.DMY).cell("timestamp").startswith("2013-05-04")
    assert dated("04/29/2013", order=DateOrder.DMY).bad == ["2: date: 04/29/2013: not a time"]


@pytest.mark.parametrize("written", ["", "null", "NULL", "NA", "n/a", "-", "NaN", "None", "  "])
def test_nulls(written: str) -> None:
    """The usual texts for a missing number are NULL."""
    reading = opened(written)
    assert reading.bad == []
    assert reading.cell("open") is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1", 1),
        ("-1.5", -1.5),
        ("0", 0),
        (".5", 0.5),
        ("5.", 5),
        ("1e-7", 1e-7),
        ("+2E3", 2000),
        ("inf", np.inf),
        (" 7 ", 7),
    ],
)
def test_numbers(written: str, meant: float) -> None:
    """A number is loaded as it is: later rules judge zero, negative and infinite ones."""
    assert opened(written).cell("open") == meant
    assert opened("", written).cell("open", 1) == meant


@pytest.mark.parametrize(
    "written", ["x", "1.2.3", "1 2", "1_000", "5%", "0x10", "٣", "1e", "--1", "1,23,4", "5X", "1 23", "$", "K"]
)
def test_not_a_number(written: str) -> None:
    """A cell that is not a number is reported, and costs no other line."""
    reading = opened("1", written, "")
    assert reading.bad == [f"3: open: {written}: not a number"]
    assert reading.rows["line"].tolist() == [2, 4]


@pytest.mark.parametrize(
    ("numbers", "meant"),
    [
        (("1,234", "1,234.5"), [1234, 1234.5]),
        (("1,234", "1,234,567"), [1234, 1234567]),
        (("1,234", "12.5"), [1234, 12.5]),
        (("1,234", "0.234"), [1234, 0.234]),
        (("1,234", "1.234,5"), [1.234, 1234.5]),
        (("1,23", "1.234", "7"), [1.23, 1234, 7]),
        (("1,70,46,200", "1,234"), [17046200, 1234]),
        (("1 234,500", "1.234,5"), [1234.5, 1234.5]),
        (("1\u00a0234,50", "12\u202f500"), [1234.5, 12500]),
        (("1'234.50", "1'000"), [1234.5, 1000]),
        (("$1,234.5", "5 €"), [1234.5, 5]),
        (("57.32K", "1.5M", "2B", "1.1T", "3bn"), [57320, 1.5e6, 2e9, 1.1e12, 3e9]),
        (("57,32K", "1.234"), [57320, 1234]),
        (("1.70462E+11", "1,234"), [170462000000, 1234]),
        (("0,123", "1.234"), [0.123, 1234]),
        (("-1,5", "null"), [-1.5, None]),
    ],
)
def test_commas_with_a_single_meaning(numbers: tuple[str, ...], meant: list[float | None]) -> None:
    """Commas are read if the column as a whole leaves a single meaning, wherever the decisive value is."""
    for arranged, expected in ((numbers, meant), (numbers[::-1], meant[::-1])):
        reading = opened(*arranged)
        assert reading.bad == []
        assert [reading.cell("open", row) for row in range(len(expected))] == expected


def test_decisive_value_far_away() -> None:
    """The decisive value may come thousands of lines after the first comma, and without a comma itself."""
    numbers = ["1,234", *["7"] * 5000, "12.5"]
    lines = [f"{1367279999 + 86400 * day};{number};5;3;4" for day, number in enumerate(numbers)]
    reading = read("\n".join(["date;open;high;low;close", *lines]))
    assert reading.bad == []
    assert reading.cell("open") == 1234


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (("1,234",), "no number shows whether 1,234 is 1234 or 1.234; say which sign begins decimals: --decimal"),
        (("1.234",), "no number shows whether 1.234 is 1.234 or 1234; say"),
        (("1,234", "12.500"), "no number shows whether 1,234 is 1234 or 1.234; say"),
        (("1,23", "1,234.5"), "its numbers contradict each other: 1,23 and 1,234.5; say which sign"),
    ],
)
def test_numbers_with_two_meanings(numbers: tuple[str, ...], message: str) -> None:
    """A sign that may group thousands or begin decimals refuses the file, with both readings and the option."""
    with pytest.raises(PriceFileError, match=message):
        opened("7", *numbers)


def test_chosen_decimal_sign() -> None:
    """The user's choice settles the sign; a number that does not fit it is bad."""
    text = "date;open;high;low;close\n2024-01-02;{};5;3;4\n"
    assert read(text.format("1.234"), decimal=Decimal.COMMA).cell("open") == 1234
    assert read(text.format("1.234"), decimal=Decimal.POINT).cell("open") == 1.234
    assert read(text.format("1,23"), decimal=Decimal.POINT).bad == ["2: open: 1,23: not a number with decimal ."]


def test_one_notation_for_all_columns() -> None:
    """What one column shows about the decimal sign holds for the others: a volume of 1.234 is no fraction."""
    lines = ["10.09.2008;7,79;8,20;6,10;7,25;1.234", "11.09.2008;6,40;6,99;4,20;4,22;1.234.567"]
    reading = read("\n".join(["Date;Open;High;Low;Close;Volume", *lines]))
    assert reading.rows["volume"].tolist() == [1234, 1234567]
    assert reading.rows["open"].tolist() == [7.79, 6.4]


def test_commas_between_columns_leave_points() -> None:
    """Where commas separate columns and nothing is quoted, a point begins decimals, three or not."""
    assert read(f"date,{OHLC}\n2024-01-02,110.123,111.250,109.875,110.500\n").cell("open") == 110.123


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2013-04-30,1,2", "3: fields: 3: the header has 5"),
        ("2013-04-30,1,2,3,4,5", "3: fields: 6: the header has 5"),
        ("2013-04-30,1,2,3,4,,5", "3: fields: 7: the header has 5"),
        ('"2013-04-30,1,2,3,4', '3: line: "2013-04-30,1,2,3,4: a quote is not closed'),
        ("2013-04-30,1,2,3,4" + "x" * 60, "3: close: 4" + "x" * 39 + "...: not a number"),
        ("2013-04-30,x,y,3,4", "3: open: x: not a number"),
        ("", None), (" \t", None), (",,,,", None), ('"",,,,', None),
    ],
)  # fmt: skip
def test_bad_lines(line: str, message: str | None) -> None:
    """A bad line is reported by its first bad cell and costs no other line; an empty line is skipped."""
    reading = read(f"date,{OHLC}\n2013-04-29,{PRICES}\n{line}\n2013-05-01,{PRICES}\n")
    assert reading.bad == ([message] if message else [])
    assert reading.rows["line"].tolist() == [2, 4]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a\x00b", "contains a control character"),
        ("a\ufffdb", "not UTF-8 text"),
        ("\u00fc" * 501, "longer than 1,000 bytes"),
    ],
)
def test_bad_names(name: str, reason: str) -> None:
    """A name that PostgreSQL cannot store, or that is not UTF-8, is reported."""
    bad = read(f"id,name,date,{OHLC}\n1,{name},2013-04-29,{PRICES}\n", Asset()).bad
    assert len(bad) == 1
    assert bad[0].endswith(reason)


@pytest.mark.parametrize("written", ["", "x", "0", "-1", "2147483648", "1.5", "1_0"])
def test_bad_ids(written: str) -> None:
    """A cell that is not an id is reported; 7.0, as pandas writes it, is 7."""
    reading = read(f"id,date,{OHLC}\n{written},2013-04-29,{PRICES}\n7.0,2013-04-29,{PRICES}\n", Asset())
    assert len(reading.bad) == 1
    assert reading.rows["id"].tolist() == [7]


Write = Callable[[datetime], str]

TIMES: dict[str, Write] = {
    "iso": lambda t: t.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
    "space": lambda t: t.strftime("%Y-%m-%d %H:%M:%S.%f"),
    "offset": lambda t: t.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=-7))).isoformat(),
    "epoch": lambda t: f"{t.replace(tzinfo=UTC).timestamp():.3f}",
    "milliseconds": lambda t: str(round(t.replace(tzinfo=UTC).timestamp() * 1000)),
    "us": lambda t: t.strftime("%m/%d/%Y %H:%M:%S.%f"),
    "eu": lambda t: t.strftime("%d.%m.%Y %H:%M:%S.%f"),
}
FORMS: dict[str, Callable[[float], str]] = {
    "plain": repr,
    "grouped": lambda x: f"{x:,.9f}",
    "decimal comma": lambda x: f"{x:,.9f}".translate(str.maketrans(",.", ".,")),
}
TITLES = {"date": ["date", "Date", "TIMESTAMP", " Date_Time "], "marketcap": ["marketcap", "Market Cap", "market_cap"]}
DECISIVE = 1234.5
"""A number that shows which comma is which. The day of its row shows which of day and month comes first."""
DECISIVE_TIME = datetime(2013, 4, 29, 23, 59, 59, 999000)  # noqa: DTZ001 - UTC

prices = st.one_of(st.none(), st.integers(-(10**9), 10**12).map(lambda units: units / 512))
moments = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)).map(  # noqa: DTZ001 - UTC
    lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)
)
columns = st.permutations(["date", "open", "high", "low", "close", "volume", "marketcap", "ignored"])


@st.composite
def dialects(draw: st.DrawFn) -> dict[str, Any]:
    """How to write a file: order of columns, titles, separator, quotes, padding, forms of times and numbers."""
    return {
        "columns": draw(columns),
        "titles": {name: draw(st.sampled_from(spellings)) for name, spellings in TITLES.items()},
        "separator": draw(st.sampled_from(",;\t|")),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])),
        "time": draw(st.sampled_from(sorted(TIMES))),
        "form": draw(st.sampled_from(sorted(FORMS))),
        "null": draw(st.sampled_from(["", "null", "NA", "-"])),
        "padding": draw(st.sampled_from(["", " ", "   "])),
    }


def written(rows: list[tuple[datetime, list[float | None]]], dialect: dict[str, Any]) -> str:
    """The rows as a file in a dialect."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=dialect["separator"], quoting=dialect["quoting"], lineterminator="\n")
    writer.writerow([dialect["titles"].get(name, name) for name in dialect["columns"]])
    for moment, values in rows:
        numbers = iter([dialect["null"] if value is None else FORMS[dialect["form"]](value) for value in values])
        cells = {"date": TIMES[dialect["time"]](moment), "ignored": "a;b,c"}
        writer.writerow([cells.get(name) or next(numbers) + dialect["padding"] for name in dialect["columns"]])
    return buffer.getvalue()


def kept(moment: datetime, time: str) -> datetime:
    """The timestamp of a moment that is written so: the end of its day for a midnight, or if its day is another one."""
    ahead = timedelta(hours=-7) if time == "offset" else timedelta(0)
    day = datetime.combine((moment + ahead).date(), datetime.min.time())
    is_midnight = moment + ahead == day
    end = day + timedelta(days=1, milliseconds=-1)
    return moment if day <= moment <= end and not is_midnight else end


@given(st.lists(st.tuples(moments, st.lists(prices, min_size=6, max_size=6)), max_size=20), dialects())
def test_any_rows_in_any_dialect(rows: list[tuple[datetime, list[float | None]]], dialect: dict[str, Any]) -> None:
    """Rows written in any dialect that a decisive row makes unambiguous are read back equal."""
    rows = [*rows, (DECISIVE_TIME, [DECISIVE] * 6)]
    reading = read(written(rows, dialect))
    numbers = [name for name in dialect["columns"] if name not in {"date", "ignored"}]
    assert reading.bad == []
    assert [t.item() for t in reading.rows["timestamp"]] == [kept(moment, dialect["time"]) for moment, _ in rows]
    for index, name in enumerate(numbers):
        expected = [np.nan if values[index] is None else values[index] for _, values in rows]
        np.testing.assert_array_equal(reading.rows[name], np.array(expected, float))
