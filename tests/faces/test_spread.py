"""What several programs did, told as one."""

from __future__ import annotations

import pytest

from refresh.errors import ExitCode
from refresh.faces.spread import Ended, exit_code, headline, metrics, page


def ended(*codes: int | None) -> list[Ended]:
    """Programs that ended so, called after their place."""
    return [Ended(name=f"s{place}", code=code, seconds=1.0) for place, code in enumerate(codes)]


@pytest.mark.parametrize(
    ("codes", "stopped", "expected"),
    [
        ((0, 0), 0, ExitCode.DONE),
        ((3, 3), 0, ExitCode.CANNOT_START),
        ((0, 3), 0, ExitCode.FAILED),
        ((-9, -9), 0, ExitCode.FAILED),
        ((0, 143), 143, ExitCode.TERMINATED),
        ((None, None), 130, ExitCode.INTERRUPTED),
    ],
)
def test_exit_code_of_all(codes: tuple[int | None, ...], stopped: int, expected: int) -> None:
    """That of the signal, else that on which all agree; programs that were killed have failed."""
    assert exit_code(ended(*codes), stopped) == expected


def test_headline_names_who_is_not_done() -> None:
    """A sentence about all, with the shards to look at."""
    line = headline(ended(0, 3), ExitCode.FAILED, 2.0)
    assert line == "Not all is done: 0 rows written in 2.0s, in 2 shards; look at s1."


def test_metrics_get_the_label_of_their_shard() -> None:
    """What a name means is said once, and every value has its shard before its other labels."""
    text = '# HELP daily_refresh_a One.\n# TYPE daily_refresh_a gauge\ndaily_refresh_a{t="x"} 1.0\ndaily_refresh_a 2\n'
    merged = metrics({"east": text, "west": text}).splitlines()
    assert merged[:2] == text.splitlines()[:2]
    assert merged[2:] == [
        'daily_refresh_a{shard="east",t="x"} 1.0', 'daily_refresh_a{shard="east"} 2',
        'daily_refresh_a{shard="west",t="x"} 1.0', 'daily_refresh_a{shard="west"} 2',
    ]  # fmt: skip


def test_page_escapes_what_others_wrote() -> None:
    """Words of a program are text on the page."""
    shard = Ended(name="east", code=1, seconds=1.0, lines=["error: <script>"])
    shown = page([shard], {"east": "a-east.html"}, "2026-01-01 02:00")
    assert "error: &lt;script&gt;" in shown
    assert 'href="a-east.html"' in shown
