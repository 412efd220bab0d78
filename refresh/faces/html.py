"""One HTML file with runs, freshness, failures and prices. It needs no network and no other file."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from refresh.installation import command
from refresh.wording import escaped

VERSION = 1


def page(data: Mapping[str, Any], charts: Mapping[int, bytes]) -> str:
    """The page, with the time ``generated_at`` of the data as its own: without a script it says no more of its age.

    ``charts``: gzipped JSON by asset, unpacked by the browser when an asset is chosen.
    """
    written = datetime.fromisoformat(data["generated_at"]).astimezone(UTC)
    parts = {
        "<!-- written -->": f"written {written:%Y-%m-%d %H:%M} UTC",
        "<!-- style -->": f"<style>{_file('page.css')}</style>",
        "<!-- data -->": f'<script type="application/json" id="data">{_embedded(data, charts)}</script>',
        "<!-- scripts -->": _script("lightweight-charts.js") + _script("page.js"),
    }
    whole = _file("page.html")
    for mark, part in parts.items():
        if mark not in whole:
            raise ValueError(f"page.html has no {mark}")
        whole = whole.replace(mark, part, 1)
    return whole


def _embedded(data: Mapping[str, Any], charts: Mapping[int, bytes]) -> str:
    """All data of the page, without a sign that could end the script around it."""
    blobs = {str(id): base64.b64encode(chart).decode() for id, chart in charts.items()}
    whole = {"version": VERSION, "command": command("run"), **data, "charts": blobs}
    text = json.dumps(_shown(whole), separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _shown(value: Any) -> Any:
    """A value for a reader: in its texts nothing is unseen."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, Mapping):
        return {key: _shown(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(part) for part in value]
    return value


def _script(name: str) -> str:
    return f"<script>{_file(name)}</script>"


def _file(name: str) -> str:
    return (files("refresh.faces") / "page" / name).read_text(encoding="utf-8")
