"""The examples of docs/reading.md and of the notebook, on the sample."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from programs import PROJECT
from reading.cells import shown

DOCUMENT = (PROJECT / "docs" / "reading.md").read_text(encoding="utf-8")
NOTEBOOK = json.loads((PROJECT / "examples" / "notebook.ipynb").read_text(encoding="utf-8"))
EXAMPLE = re.compile(r"^```python\n(.*?)^```\n(?:\n```\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def environment(sample_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample is the database that the environment names."""
    monkeypatch.setenv("TARGET_DB_URL", sample_url)


def test_examples_of_the_document() -> None:
    """Each example, run after those before it, shows what stands below it."""
    namespace: dict[str, Any] = {}
    examples = EXAMPLE.findall(DOCUMENT)
    assert len(examples) > 2
    for source, expected in examples:
        assert shown(source, namespace) == expected.strip("\n"), source
    namespace["db"].close()


def test_notebook() -> None:
    """Each cell, run in order, shows what is stored below it."""
    namespace: dict[str, Any] = {}
    cells = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 2
    for number, cell in enumerate(cells, 1):
        stored = ["".join(output.get("text") or output["data"]["text/plain"]) for output in cell["outputs"]]
        assert shown("".join(cell["source"]), namespace) == "\n".join(stored).strip("\n"), cell["source"]
        assert cell["execution_count"] == number
    assert (NOTEBOOK["nbformat"], repr(namespace["db"]).startswith("<closed: ")) == (4, True)
