"""One HTML file that shows runs, freshness, failures and prices; it needs no network and no other file."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

VERSION = 1


def page(data: Mapping[str, Any], charts: Mapping[int, bytes]) -> str:
    """The page. ``charts``: gzipped JSON by asset, unpacked by the browser when an asset is chosen."""
    blobs = {str(id): base64.b64encode(chart).decode() for id, chart in charts.items()}
    text = json.dumps({"version": VERSION, **data, "charts": blobs}, separators=(",", ":")).replace("<", "\\u003c")
    scripts = "".join(f"<script>{_part(name)}</script>" for name in ("lightweight-charts.js", "page.js"))
    parts = {
        "<!-- style -->": f"<style>{_part('page.css')}</style>",
        "<!-- data -->": f'<script type="application/json" id="data">{text}</script>',
        "<!-- scripts -->": scripts,
    }
    whole = _part("page.html")
    for mark, part in parts.items():
        before, found, after = whole.partition(mark)
        if not found:
            raise ValueError(f"page.html has no {mark}")
        whole = before + part + after
    return whole


def _part(name: str) -> str:
    return (files("refresh.faces") / "page" / name).read_text(encoding="utf-8")
