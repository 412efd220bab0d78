"""The records of a run, and how an outcome travels as a line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresh.records import Outcome, Status

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
OUTCOMES = st.builds(
    Outcome,
    builder=TEXTS,
    id=st.integers(),
    status=st.sampled_from(Status),
    rows=st.integers(0),
    seconds=st.floats(0, 1e9),
    reason=TEXTS,
    error=st.none() | TEXTS,
    notes=st.dictionaries(TEXTS, st.integers(0)),
    retries=st.integers(0),
)


@given(OUTCOMES)
def test_an_outcome_comes_back_from_its_line(outcome: Outcome) -> None:
    """A line is one line of JSON, and means the outcome that wrote it."""
    line = outcome.line()
    assert len(line.splitlines()) == 1
    assert Outcome.parse(line) == outcome


def test_a_line() -> None:
    """A line has every field, the status in the words of the report."""
    outcome = Outcome(builder="bars.1d", id=52, status=Status.NOT_REACHED)
    assert json.loads(outcome.line()) == {
        "builder": "bars.1d",
        "id": 52,
        "status": "not reached",
        "rows": 0,
        "seconds": 0.0,
        "reason": "",
        "error": None,
        "notes": {},
        "retries": 0,
    }


LINE = Outcome(builder="bars.1d", id=52, status=Status.DONE).line()


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        "5",
        "null",
        "[1]",
        '"done"',
        LINE[:-1],
        LINE.replace('"done"', '"finished"'),
        LINE.replace('"id"', '"asset"'),
        LINE.replace('"builder": "bars.1d", ', ""),
    ],
)
def test_any_other_line_is_an_error(line: str) -> None:
    """What is no outcome is a ``ValueError``, whatever is wrong with it."""
    with pytest.raises(ValueError, match=r"not an outcome|Expecting|is not a valid Status"):
        Outcome.parse(line)
