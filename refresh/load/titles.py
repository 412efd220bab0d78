"""The titles by which price files name our columns: every form of a file is a row of data here, and no code.

A title is compared by its letters and digits alone: ``1. open``, ``<OPEN>``, ``Open*`` and ``open ($)`` are ``open``.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

NUMBERS = ("open", "high", "low", "close", "volume", "marketcap", "circulatingsupply")
TIMES = ("timestamp", "timeopen", "timeclose", "timehigh", "timelow")
NAMES = ("name", "symbol")
REQUIRED = ("timestamp", "open", "high", "low", "close")

_DATES = ("date", "tradedate", "tradingdate", "datum", "data", "fecha")
"""Days, which a time of day may follow in a column of its own."""
_CLOCKS = ("time", "timeofday", "uhrzeit", "zeit", "hora", "heure", "ora", "tijd")
_MOMENTS = ("timestamp", "datetime", "datetimeutc", "tsevent")
_LESSER_MOMENTS = (
    "gmttime", "localtime", "ts", "windowstart", "unix", "unixtimestamp", "unixtime", "epoch",
    "opentime", "timeopen", "closetime", "timeclose", "t",
)  # fmt: skip

TITLES = {
    "id": ("id",),
    "name": ("name",),
    "symbol": (
        "symbol", "ticker", "tic", "tickersymbol", "stocksymbol", "actsymbol", "secid", "ric", "isin", "cusip", "figi",
        "wkn", "permno", "pair", "currencypair", "contract", "instrument", "security", "stock", "coin", "asset", "code",
        "instrumentid",
    ),
    "timestamp": (*_MOMENTS, *_DATES, *_CLOCKS, *_LESSER_MOMENTS),
    "timeopen": ("timeopen", "opentime"),
    "timeclose": ("timeclose", "closetime"),
    "timehigh": ("timehigh", "hightime"),
    "timelow": ("timelow", "lowtime"),
    "open": (
        "open", "openprice", "openingprice", "priceopen", "opening", "pxopen", "first", "o",
        "eroffnung", "eroffn", "eroffnungskurs", "erster", "apertura", "abertura", "ouverture", "ouv",
    ),
    "high": (
        "high", "highprice", "pricehigh", "highest", "pxhigh", "max", "maximum", "h",
        "hoch", "hochst", "tageshoch", "maximo", "maxima", "haut", "plushaut", "hoog", "hoogste", "massimo",
    ),
    "low": (
        "low", "lowprice", "pricelow", "lowest", "pxlow", "min", "minimum", "l",
        "tief", "tiefst", "tagestief", "minimo", "minima", "bas", "plusbas", "laag", "laagste",
    ),
    "close": (
        "close", "closelast", "closeprice", "closingprice", "priceclose", "closing", "pxlast", "last", "lastprice",
        "price", "settle", "c",
        "schluss", "schlusskurs", "zuletzt", "letzter", "cierre", "fechamento", "ultimo", "cloture", "dernier",
        "slot", "slotkoers", "laatst", "laatste", "chiusura",
    ),
    "volume": (
        "volume", "vol", "volumeusd", "volumeusdt", "volumeto", "quotevolume", "tradedvolume", "tradevolume",
        "totaltradequantity", "totaltradedquantity", "tradequantity", "tradedquantity", "sharestraded", "noofshares",
        "numberofshares", "pxvolume",
        "volumefrom", "basevolume", "volumen", "stuck", "stucke", "stuecke", "volumi", "v",
    ),
    "marketcap": (
        "marketcap", "mktcap", "mcap", "marketcapusd", "marketcapitalization", "marketcapitalisation", "capitalization",
    ),
    "circulatingsupply": ("circulatingsupply", "supply", "availablesupply"),
}  # fmt: skip
"""Our columns and their titles, the best first."""

_INDEX = ("price", "date", "datetime", "timestamp")
"""What may stand above the dates where titles take several lines."""
_VOLUME_IN = re.compile(r"(?i:vol(ume)?)[ _(]*[A-Z][A-Z0-9]{1,5}\)?")
"""A volume counted in some asset or currency, such as ``Volume BTC``; taken where no title above is there."""
_NUMBERED = re.compile(r"(?<!\d)\d+[a-z]?[.)]\s*")
_UNIT = re.compile(r"[(\[].*?[)\]]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where our columns are: the index of each of them, in the file's order, and that of the time of a day, if any."""

    indexes: dict[str, int]
    clock: int | None = None

    @property
    def used(self) -> frozenset[int]:
        """The indexes of all columns that are read."""
        clock = () if self.clock is None else (self.clock,)
        return frozenset([*self.indexes.values(), *clock])


def key(title: str) -> str:
    """A title's letters and digits, without case, accents, units of a list and signs."""
    plain = unicodedata.normalize("NFKD", _NUMBERED.sub("", title.strip(), count=1))
    return "".join(character for character in plain if character.isalnum()).casefold()


def _without_units(title: str) -> str:
    """A title without what is in brackets. What no bracket closes is not searched for one, again and again."""
    end = max(map(title.rfind, ")]")) + 1
    return _UNIT.sub("", title[:end]) + title[end:]


def places(titles: Sequence[str]) -> Places:
    """Where our columns are among the titles of a file."""
    keys = [key(title) for title in titles]
    found = {column: keys.index(best) for column, best in _best(keys).items()}
    bare = [key(_without_units(title)) for title in titles]
    numbers = Counter(bare)
    in_one_unit = [title for title in bare if numbers[title] == 1]
    found = {column: bare.index(best) for column, best in _best(in_one_unit).items()} | found
    if "volume" not in found:
        found |= _volume_in(titles)
    if "timestamp" not in found and titles and not titles[0]:
        found["timestamp"] = 0  # the unnamed index of a data frame
    is_day = "timestamp" in found and keys[found["timestamp"]] in _DATES
    clocks = [keys.index(clock) for clock in _CLOCKS if is_day and clock in keys]
    return Places(indexes=dict(sorted(found.items(), key=itemgetter(1))), clock=next(iter(clocks), None))


def _best(keys: Sequence[str]) -> dict[str, str]:
    """The best title of each of our columns that has one."""
    best = {}
    for column, spellings in TITLES.items():
        present = [spelling for spelling in spellings if spelling in keys]
        if present:
            best[column] = present[0]
    return best


def _volume_in(titles: Sequence[str]) -> dict[str, int]:
    found = [index for index, title in enumerate(titles) if _VOLUME_IN.fullmatch(title)]
    return {"volume": found[0]} if found else {}


def is_index(title: str) -> bool:
    """Whether a title may stand above the dates of a table whose titles take several lines."""
    return key(title) in _INDEX
