"""What the warm process has imported, and what a list of processes shows."""

from __future__ import annotations

import json
import sys

import pytest
from prices import FILL
from programs import run
from sqlalchemy import Engine
from statements import address, execute

from refresh.catalog import BUILDERS

IMPORTED = """
import json, sys
from refresh.builder import warm
before = set(sys.modules)
codes = [warm.run([key]) for key in KEYS]
print(json.dumps([codes, sorted(set(sys.modules) - before)]), file=sys.stderr)
"""
SHOWN = """
import json, sys
from pathlib import Path
from refresh.builder import title
environ = Path("/proc/self/environ").read_bytes()
title.show(["python", "-m", "refresh.builder", "x y", "z" * 4000])
assert Path("/proc/self/environ").read_bytes() == environ
print(json.dumps(Path("/proc/self/cmdline").read_text().rstrip(chr(0)).split(chr(0))))
"""
DRIVER = {"psycopg2._ipaddress", "psycopg2.extras"}
"""What SQLAlchemy imports for its first connection, in three milliseconds."""


def test_builders_import_nothing(engine: Engine) -> None:
    """Whatever the builders need, the warm process has, except for small change of the driver."""
    execute(engine, FILL, asset=1, first="2024-01-01Z", last="2024-02-09Z")
    keys = [builder.key for builder in BUILDERS]
    ended = run("-c", IMPORTED.replace("KEYS", repr(keys)), url=address(engine))
    codes, imported = json.loads(ended.stderr)
    assert codes == [0] * len(BUILDERS)
    assert set(imported) <= DRIVER


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows what it is told")
def test_title() -> None:
    """The words replace the command of the process, as far as that reached. Its environment is untouched."""
    ended = run("-c", SHOWN, " " * 1000, url="")
    *whole, cut = json.loads(ended.stdout)
    assert whole == ["python", "-m", "refresh.builder", "x y"]
    assert 1000 < len(cut) < 2000
    assert set(cut) == {"z"}
