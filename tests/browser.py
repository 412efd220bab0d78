"""A headless browser without a network, and the pages that it opens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from refresh.faces.html import page

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-prefers-reduced-motion",
    "--hide-scrollbars",
)


@contextmanager
def browser(profile: Path) -> Iterator[Chrome]:
    """A browser with an empty profile. Skips the test if there is no browser."""
    pytest.importorskip("selenium", reason="selenium drives the browser: install it from requirements-dev.txt")
    from selenium import webdriver  # noqa: PLC0415 - it may not be installed

    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    driver = os.environ.get("CHROMEDRIVER") or shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("no browser: install chromium and chromedriver, or name them in CHROMIUM and CHROMEDRIVER")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    try:
        yield chrome
    finally:
        chrome.quit()


def write_page(target: Path, data: Mapping[str, Any], charts: Mapping[int, bytes]) -> str:
    """Write the page as the refresh does, and return its address."""
    target.write_text(page(data, charts), encoding="utf-8")
    return target.as_uri()
