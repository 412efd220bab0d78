"""What a browser may do with the page, whatever the texts in it are."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from importlib.resources import files

from refresh.faces.html import page

POLICY = {
    "default-src": "'none'",
    "script-src": "'unsafe-inline'",
    "style-src": "'unsafe-inline'",
    "img-src": "data:",
    "base-uri": "'none'",
    "form-action": "'none'",
}
"""No address of the network is in it: scripts and styles are those that are part of the file."""
EVIL = "</script><script>alert(1)</script><!--<script>"
AS_MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc|\.href ?="
)


def written(name: str) -> str:
    """A page with this text in it."""
    return page({"generated_at": datetime(2026, 3, 1, tzinfo=UTC).isoformat(), "headline": name}, {})


def test_policy_of_the_page() -> None:
    """It can fetch nothing and send nothing anywhere: its policy is stated before anything else is read."""
    head, _, _ = written("x").partition("<style>")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', head)
    assert dict(part.strip().split(" ", 1) for part in policy.split(";")) == POLICY
    assert "<script" not in head


def test_text_ends_no_script() -> None:
    """However a text is made, it neither ends the script that holds it nor begins another one."""
    plain, evil = written("x"), written(EVIL)
    for mark in ("<script", "</script", "<!--"):
        assert evil.count(mark) == plain.count(mark)


def test_no_text_becomes_markup() -> None:
    """The script of the page has no way to make markup, code or an address of a text."""
    script = files("refresh.faces").joinpath("page", "page.js").read_text(encoding="utf-8")
    assert AS_MARKUP.findall(script) == []
