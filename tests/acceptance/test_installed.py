"""The distribution: built as a wheel, installed beside nothing of the checkout, and used as after ``pip install``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from other_users import public_folder
from programs import PROJECT

from refresh.installation import VERSION


@dataclass(frozen=True)
class Installed:
    """The folder of an installed wheel, and a home in which nothing is."""

    site: Path
    home: Path
    data: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command in the home, with no setting but the folder of the data."""
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "PYTHONPATH": str(self.site),
            "REFRESH_DATA_DIR": str(self.data),
        }
        command = [str(self.site / "bin" / "daily-refresh"), *words]
        return subprocess.run(
            command, cwd=self.home, env=environ, capture_output=True, text=True, check=False, timeout=300
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """The wheel of the checkout, in a folder of its own."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    copy, site = folder / "source", folder / "site"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=False).stdout
    if not tracked:
        pytest.skip("the checkout is no clone of git, so its files are not known")
    for name in tracked.decode().split("\0"):
        if name and (PROJECT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((PROJECT / name).read_bytes())
    build = ["wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), str(copy)]
    subprocess.run([*pip, *build], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)], check=True)
    (folder / "home").mkdir()
    with public_folder() as data:
        yield Installed(site, folder / "home", data / "data")


def test_first_minutes(installed: Installed) -> None:
    """Two words from nothing to a page; files go where the platform keeps them, and nothing beside the package."""
    before = {path for path in installed.site.rglob("*") if path.suffix != ".pyc" and path.name != "__pycache__"}
    demo = installed.run("demo")
    assert demo.returncode == 0, demo.stderr
    assert "validated: 1 of 1 asset in 12 tables, 1 recomputed" in demo.stdout
    assert "load your own files with: daily-refresh load FILE..." in demo.stdout
    assert (installed.home / "report.html").is_file()
    checked = installed.run("check")
    assert checked.returncode == 0
    assert checked.stdout.startswith("fresh: 1 asset in 12 tables")
    logs = [path for path in installed.home.rglob("refresh-*.log") if path.is_file()]
    assert [log.parent.name for log in logs] in [["log"], ["daily-refresh"]]
    assert f"version={VERSION}" in logs[0].read_text(encoding="utf-8")
    after = {path for path in installed.site.rglob("*") if path.suffix != ".pyc" and path.name != "__pycache__"}
    assert after == before


def test_places_of_settings(installed: Installed) -> None:
    """Settings are looked for in the folder of the user alone, and not beside the package."""
    shown = installed.run("settings")
    last = shown.stdout.strip().splitlines()[-1]
    assert last.count(".env") == 1
    assert str(installed.home) in last
    folder = installed.home / ".config" / "daily-refresh"
    folder.mkdir(parents=True)
    (folder / ".env").write_text("REFRESH_TZ=Asia/Tokyo\n", encoding="utf-8")
    (folder / ".env").chmod(0o600)
    assert "Asia/Tokyo" in installed.run("settings").stdout


def test_version_of_the_distribution(installed: Installed) -> None:
    """The version is that of the metadata, and the type information travels with the package."""
    assert installed.run("--version").stdout == f"daily-refresh {VERSION}\n"
    (metadata,) = installed.site.glob("daily_refresh-*.dist-info/METADATA")
    assert f"\nVersion: {VERSION}\n" in metadata.read_text(encoding="utf-8")
