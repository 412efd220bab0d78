"""Timeframes at random."""

from __future__ import annotations

from hypothesis import strategies as st

from refresh.core.timeframe import Timeframe, Unit
from refresh.families import Alignment, Scheme


@st.composite
def valid_timeframes(draw: st.DrawFn) -> Timeframe:
    """Any timeframe that the rules of bars.md allow."""
    unit = draw(st.sampled_from(Unit))
    alignment = draw(st.sampled_from([Alignment.ALIGNED, Alignment.ANCHORED]))
    if unit is Unit.DAY:
        alignment = Alignment.ROLLING
    if unit is Unit.MONTH and alignment is Alignment.ANCHORED:
        return Timeframe(draw(st.sampled_from([1, 2, 3, 4, 6, 12])), unit, alignment)
    scheme = draw(st.sampled_from(Scheme)) if unit is Unit.WEEK else None
    return Timeframe(draw(st.integers(1, 2000)), unit, alignment, scheme)
