"""Words that somebody may type or a script may pass on, and programs that are started with them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hypothesis import strategies as st
from programs import PROJECT

from refresh.errors import ExitCode

SECRET = "QXZ-secret-ZXQ"  # noqa: S105 - made up
NOWHERE = f"postgresql://refresher:{SECRET}@127.0.0.1:1/prices"
PIECES = (
    *("", "0", "1", "-1", "52", "9" * 19, "9" * 5_000, "1e400", "nan", "inf", "1.5", "0x10", "1_000", "\u0663"),
    *("all", "ALL", "1d", "7d", "cal_us", "bars.1d", "emas.v2", "7d:10", "7d:", ":10", "1w,1m", ",", ",,", "1,BTC"),
    *("digest", "lookback", "2h", "36h", "1w", "365250d", "365251d", "UTC", "Europe/Berlin", "localtime", "right/UTC"),
    *("posixrules", "Factory", "mdy", ".", "..", "x.json", "2026-01-31", "0001-01-01T00:00:00+14:00", "{}", "%s", "%"),
    *("\u00b2", "BTC"),
    *("\x1b[2J", "\x85", "\u202e", "\udcff", "a\nb", "\t", " ", "\ufeff", "=", "--", "-", "x" * 100_000, "1" * 100_000),
)  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map("".join) | st.text(
    st.characters(codec=None, exclude_categories=(), exclude_characters="\0/"), max_size=20
)
EXIT_CODES = {int(code) for code in ExitCode}


@st.composite
def typed_words(draw: st.DrawFn, flags: Sequence[str]) -> list[str]:
    """A command line: options of all programs in every spelling, values of every kind, and words of nobody."""
    words: list[str] = []
    for _ in range(draw(st.integers(0, 6))):
        flag, value = draw(st.sampled_from(flags)), draw(texts)
        way = draw(st.sampled_from(["flag", "apart", "apart", "joined", "joined", "short", "spelt", "value", "secret"]))
        words += {
            "flag": [flag],
            "apart": [flag, value],
            "joined": [f"{flag}={value}"],
            "short": [flag[: draw(st.integers(1, len(flag)))]],
            "spelt": [flag.replace("-", "_"), flag.upper(), value],
            "value": [value],
            "secret": [flag, NOWHERE],
        }[way]
    return words


def run_in(
    folder: Path, words: Sequence[str], environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of the project in a folder of its own. Without a database, unless ``environ`` names one."""
    clean = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "PYTHONPATH": str(PROJECT),
        "REFRESH_CONFIG": os.devnull,
        "REFRESH_LOG_DIR": str(folder / "logs"),
        "TARGET_DB_URL": NOWHERE,
    }
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**clean, **(environ or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
        timeout=120,
    )


def assert_ends_well(finished: subprocess.CompletedProcess[str]) -> None:
    """Fail unless a program ended with an exit code of the documents, no traceback, and not a word of a password."""
    said = finished.stdout + finished.stderr
    assert "Traceback" not in said, said[-3_000:]
    assert finished.returncode in EXIT_CODES, (finished.returncode, said[-3_000:])
    assert SECRET not in said
    assert max(map(len, finished.stderr.splitlines()), default=0) < 3_000
