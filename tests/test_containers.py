"""The image and its neighbours cannot be built without a network: linters read them, and what they name exists."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

from refresh.commands.product import SUBCOMMANDS

CHECKOUT = Path(__file__).resolve().parents[1]
FOLDER = CHECKOUT / "examples" / "container"
PROGRAMS = Path(sys.executable).parent
LINE = "{extends: default, rules: {line-length: {max: 120}}}"


def test_containerfile() -> None:
    """The linter finds nothing, and the image starts a subcommand with what the package needs."""
    file = FOLDER / "Containerfile"
    linted = subprocess.run([PROGRAMS / "hadolint", file], capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout) == (0, "")
    text = file.read_text(encoding="utf-8")
    words = re.search(r"^CMD (\[.*\])$", text, re.MULTILINE)
    assert words
    assert json.loads(words[1])[0] in SUBCOMMANDS
    ignored = (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").split()
    for name in ("requirements.txt", "refresh", "pyproject.toml", "README.md", "LICENSE"):
        assert (CHECKOUT / name).exists()
        assert name not in ignored


def test_compose() -> None:
    """The file is well formed, names files that exist, holds no password, and the refresh waits for the server."""
    file = FOLDER / "compose.yaml"
    linted = subprocess.run(
        [PROGRAMS / "yamllint", "--strict", "-d", LINE, file], capture_output=True, text=True, check=False
    )
    assert (linted.returncode, linted.stdout) == (0, "")
    services = yaml.safe_load(file.read_text(encoding="utf-8"))["services"]
    build = services["refresh"]["build"]
    context = (FOLDER / build["context"]).resolve()
    assert context == CHECKOUT
    assert (context / build["dockerfile"]).is_file()
    assert services["refresh"]["depends_on"] == {"prices": {"condition": "service_healthy"}}
    address = services["refresh"]["environment"]["TARGET_DB_URL"]
    assert re.fullmatch(r"postgresql://postgres:\$\{POSTGRES_PASSWORD\}@prices:5432/prices", address)
