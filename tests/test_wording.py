"""Numbers and names as parts of sentences."""

from __future__ import annotations

import pytest

from refresh.wording import (
    SHOWN_IDS,
    counted,
    escaped,
    escaped_lines,
    listed,
    nearest,
    nearest_numbers,
    nearest_of,
    quoted,
    shown_ids,
)


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "asset", "0 assets"),
        (1, "asset", "1 asset"),
        (2, "asset", "2 assets"),
        (3518, "row", "3,518 rows"),
        (1_000_001, "more day", "1,000,001 more days"),
    ],
)
def test_counted(number: int, noun: str, text: str) -> None:
    """A noun follows its number: one is singular, thousands have a comma."""
    assert counted(number, noun) == text


def test_listed() -> None:
    """Values of any type are a list in a sentence."""
    assert listed([1, "7D", None]) == "1, 7D, None"
    assert listed([]) == ""


@pytest.mark.parametrize(
    ("size", "end"),
    [(1, "1"), (SHOWN_IDS, "11, 12"), (SHOWN_IDS + 1, "11, 12 and 1 more"), (5012, "11, 12 and 5,000 more")],
)
def test_shown_ids(size: int, end: str) -> None:
    """A dozen ids are shown, and the number of the others."""
    text = shown_ids(range(1, size + 1))
    assert text.startswith("1")
    assert text.endswith(end)
    assert len(text.split(", ")) == min(size, SHOWN_IDS)


def test_no_ids() -> None:
    """Without ids nothing is shown."""
    assert shown_ids([]) == ""


@pytest.mark.parametrize(
    ("value", "valid", "text"),
    [
        ("7x", ["7D", "365D"], "nearest: 7D"),
        ("cal_uss", ["cal_us", "1d", "cal_us"], "nearest: cal_us"),
        ("CAL_US", ["cal_us", "cal_iso"], "nearest: cal_us, cal_iso"),
        ("zzz", ["C", "A", "D", "B"], "nearest: A, B, C"),
        ("7x", [], "none is enabled"),
    ],
)
def test_nearest(value: str, valid: list[str], text: str) -> None:
    """The nearest spellings in any case, or the first ones if none is near, or that there are none."""
    assert nearest(value, valid) == text


@pytest.mark.parametrize(
    ("value", "valid", "text"),
    [
        (15, [10, 14, 20, 30, 50], "nearest: 10, 14, 20"),
        (1000, [200, 50, 100, 10], "nearest: 50, 100, 200"),
        (-5, [1, 52], "nearest: 1, 52"),
        (12, [10, 14, 11, 13], "nearest: 10, 11, 13"),
        (1, [], "it is empty"),
    ],
)
def test_nearest_numbers(value: int, valid: list[int], text: str) -> None:
    """The three nearest numbers, the smallest first; of two that are equally near, the smaller one."""
    assert nearest_numbers(value, valid, none="it is empty") == text


def test_the_end_of_a_message() -> None:
    """What a user may have meant, or that there is nothing."""
    assert nearest_of(["7D", "14D"]) == "nearest: 7D, 14D"
    assert nearest_of([]) == "none is enabled"


@pytest.mark.parametrize(
    ("text", "line", "lines"),
    [
        ("plain, \u00fc \u4e2d \U0001f6a8", "plain, \u00fc \u4e2d \U0001f6a8", "plain, \u00fc \u4e2d \U0001f6a8"),
        ("\x1b[2J\x07\x7f\x9b", r"\x1b[2J\x07\x7f\x9b", r"\x1b[2J\x07\x7f\x9b"),
        ("a\nb\tc\rd", r"a\x0ab\x09c\x0dd", "a\nb\tc\\x0dd"),
        ("\u202ea\u2066b\u200fc\u2028", r"\u202ea\u2066b\u200fc\u2028", r"\u202ea\u2066b\u200fc\u2028"),
        ("\udcff\0", r"\udcff\x00", r"\udcff\x00"),
    ],
)
def test_escaped(text: str, line: str, lines: str) -> None:
    """What moves a cursor, turns the order or is no text is an escape; in a line also its end and a tab."""
    assert escaped(text) == line
    assert escaped_lines(text) == lines


def test_quoted() -> None:
    """A text in quotes is as typed if it fits a line, and else its beginning."""
    assert quoted("a'\x1b") == '"a\'\\x1b"'
    assert quoted("9" * 5000) == f"'{'9' * 80}'... (5,000 characters)"
