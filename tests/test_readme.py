"""The documents against the code: everything that exists is described, and everything that is named exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from refresh.options.load_request import LOAD_OPTIONS
from refresh.options.request import OPTIONS
from refresh.store.tables import METADATA

CHECKOUT = Path(__file__).resolve().parents[1]
FILES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
DOCUMENTS = {path.name: path.read_text(encoding="utf-8") for path in FILES}
EVERYTHING = "\n".join(DOCUMENTS.values())
LONGEST_README = 150
ABOUT = {"_(packed|series)$": "tables.md", "^cmc_price_bars_": "bars.md", "^cmc_ema_": "emas.md"}
"""The document that explains the tables of such names; any document may explain other tables."""
TARGETS = re.findall(r"^([a-z-]+):.*## ", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
FOLDERS = ("refresh/", "tests/", "bench/", "docs/")
FLAGS = {option.flag for option in (*OPTIONS, *LOAD_OPTIONS)}
FLAGS_OF_OTHERS = {
    *("--help", "--hypothesis-seed", "--only", "--scale", "--pairs", "--seed", "--minutes", "--measure"),
    *("--to", "--editable", "--config-settings", "--no-deps", "--require-hashes", "--disable-pip"),
    *("--host", "--no-dashboard", "--nthreads"),
}
"""Those of Python's parser, of pytest, of the bench, of the shards, of pip, of pip-audit and of Dask."""
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def code_spans(text: str) -> Iterator[str]:
    """The texts between backticks, which may go on in the next line."""
    for span in re.findall(r"`([^`]+)`", FENCED.sub("", text)):
        yield " ".join(span.split())


def first_cells(text: str) -> set[str]:
    """The first cell of every row of every table."""
    return {cell.strip() for cell in re.findall(r"^\|([^|\n]*)\|", text, re.MULTILINE)}


def anchors(text: str) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def links() -> list[tuple[str, str]]:
    """Each document with each of its links to files and headings of the project."""
    targets = [(name, target) for name, text in DOCUMENTS.items() for target in LINK.findall(text)]
    return [(name, target) for name, target in targets if "://" not in target]


def rooms() -> list[str]:
    """The folders and modules of the package."""
    members = (CHECKOUT / "refresh").iterdir()
    own = [path for path in members if not path.name.startswith("__") and path.suffix in {"", ".py"}]
    return sorted(path.stem for path in own)


def test_readme_is_short() -> None:
    """The README is an entrance; details are in the documents."""
    assert len(DOCUMENTS["README.md"].splitlines()) <= LONGEST_README


@pytest.mark.parametrize("name", [path.name for path in FILES if path.parent.name == "docs"])
def test_readme_links_every_document(name: str) -> None:
    """Each document is found from the README."""
    assert f"(docs/{name})" in DOCUMENTS["README.md"]


@pytest.mark.parametrize("target", TARGETS)
def test_make_target_is_described(target: str) -> None:
    """Each target that ``make help`` lists has a row in the table of targets."""
    cells = first_cells(DOCUMENTS["developing.md"])
    assert f"make {target}" in {span for cell in cells for span in code_spans(cell)}, f"make {target} has no row"


def test_makefile_has_targets() -> None:
    """The targets are found in the Makefile at all."""
    assert {"daily-refresh", "test", "psql"} <= set(TARGETS)


def test_every_make_command_exists() -> None:
    """The documents name no target that the Makefile lacks."""
    named = {span.split()[1] for span in code_spans(EVERYTHING) if re.match(r"make [a-z]", span)}
    assert named
    assert named <= set(TARGETS)


@pytest.mark.parametrize("table", METADATA.tables)
def test_table_has_a_row(table: str) -> None:
    """Each table has a row in docs/tables.md; those that belong to another share the row of that."""
    owner = re.sub("_(state|packed|series)$", "", table)
    assert f"`{owner}`" in first_cells(DOCUMENTS["tables.md"]), f"docs/tables.md has no row for {owner}"
    own = table.removeprefix(owner)
    assert not own or f"`<table>{own}`" in DOCUMENTS["tables.md"], f"docs/tables.md lacks `<table>{own}`"


@pytest.mark.parametrize("table", METADATA.tables)
def test_columns_are_explained(table: str) -> None:
    """Each column is named in the document about its table."""
    document = next((name for pattern, name in ABOUT.items() if re.search(pattern, table)), None)
    text = DOCUMENTS[document] if document else EVERYTHING
    named = {word for span in code_spans(text) for word in re.findall(r"\w+", span)}
    missing = [column.name for column in METADATA.tables[table].columns if column.name not in named]
    assert not missing, f"docs/{document or ''} does not explain {', '.join(missing)} of {table}"


@pytest.mark.parametrize("path", sorted({span for span in code_spans(EVERYTHING) if span.startswith(FOLDERS)}))
def test_named_file_exists(path: str) -> None:
    """A file or folder that a document names is there; arguments may follow its name."""
    assert list(CHECKOUT.glob(path.split(maxsplit=1)[0].rstrip("/")))


@pytest.mark.parametrize(("name", "target"), sorted(set(links())))
def test_link_leads_somewhere(name: str, target: str) -> None:
    """A link leads to a file of the project, and its anchor to a heading."""
    folder = CHECKOUT if name in {"README.md", "CONTRIBUTING.md"} else CHECKOUT / "docs"
    file, _, anchor = target.partition("#")
    linked = (folder / file).resolve() if file else folder / name
    assert linked.exists()
    assert not anchor or anchor in anchors(linked.read_text(encoding="utf-8"))


@pytest.mark.parametrize("flag", sorted(set(FLAG.findall(EVERYTHING)) - FLAGS_OF_OTHERS))
def test_named_flag_exists(flag: str) -> None:
    """A flag that a document names is one of ours, or listed as one of others."""
    assert flag in FLAGS


@pytest.mark.parametrize("room", rooms())
def test_map_has_every_room(room: str) -> None:
    """Each folder and module of the package is on the map, and the map has a text for it in docs/developing.md."""
    drawn = (CHECKOUT / "docs/images/map.svg").read_text(encoding="utf-8")
    names = {name for text in re.findall(r'class="name"[^>]*>([^<]+)<', drawn) for name in text.split(", ")}
    assert room in names
    assert f"`{room}`" in DOCUMENTS["developing.md"]
