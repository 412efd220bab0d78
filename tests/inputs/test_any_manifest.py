"""Manifests with anything in them: a file gets the asset of its line, or the manifest is refused in one line."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from inputs.damaged_files import ENCODINGS, rows_of
from inputs.effort import searched

from refresh.errors import UsageError
from refresh.load.files import by_manifest
from refresh.wording import escaped

FILES = ("a.csv", "b.csv", "c d.csv", "\u00fcber.csv")
IDS = (
    "",
    "1",
    "52",
    "2147483647",
    "2147483648",
    "0",
    "-1",
    "1.0",
    "1.5",
    "x",
    "\u0663",
    "9" * 5_000,
    "1e3",
    "NULL",
    "\0",
)
TEXTS = ("", "Bitcoin", "BTC", "*", "\u039e", "a,b", "\x1b[2J", "\ufffd", "x" * 2_000, "x" * 140_000, '"', '""', "'")
cells = {
    "file": st.sampled_from([*FILES, "A.CSV", "", "*", "/", "..", ".gz", "x/a.csv", "a.csv.gz", "\0"]),
    "id": st.sampled_from(IDS[:4] * 4 + IDS),
    "name": st.sampled_from(TEXTS[:3] * 4 + TEXTS),
    "symbol": st.sampled_from(TEXTS[:3] * 4 + TEXTS),
}
titles = st.sampled_from(
    [
        *[["file", "id", "name", "symbol"]] * 6,
        ["file", "id"],
        ["symbol", "id", "file"],
        ["FILE ", " Id"],
        ["file", "id", "id"],
        ["file", "id", ""],
        ["file"],
        [],
    ]
)


@st.composite
def manifests(draw: st.DrawFn) -> tuple[str, list[str], str]:
    """The separator, the lines, and the way in which they are written."""
    separator = draw(st.sampled_from(",;\t|"))
    names = draw(titles)
    lines = [separator.join(names)]
    for _ in range(draw(st.integers(0, 5))):
        row = [draw(cells.get(name.strip().lower(), st.just("?"))) for name in names]
        lines.append(separator.join(row + draw(st.sampled_from([[], [], [], ["more"]]))))
    return separator, lines, draw(st.sampled_from(ENCODINGS))


def assigned_ids(manifest: Path) -> tuple[dict[str, int | None], str]:
    """The asset of each file that has one asset, and why the manifest is refused if it is."""
    paths = [manifest.parent / name for name in FILES]
    try:
        files = by_manifest(paths, manifest)
    except UsageError as error:
        return {}, str(error)
    return {file.path.name: file.assignment.asset.id for file in files if not file.assignment.by_symbol}, ""


@searched(8)
@given(written=manifests())
def test_any_lines(tmp_path: Path, written: tuple[str, list[str], str]) -> None:
    """A file has an asset only if a line that csv reads names both of them, and a refusal is one line."""
    separator, lines, encoding = written
    manifest = tmp_path / "manifest.csv"
    manifest.write_bytes("\n".join(lines).encode(encoding, "replace"))
    ids, problem = assigned_ids(manifest)
    assert "\n" not in escaped(problem)
    assert len(problem) < 1_000
    names = [title.lower() for title in rows_of(lines[0], separator)]
    for file, id in ids.items():
        rows = [dict(zip(names, rows_of(line, separator), strict=False)) for line in lines[1:]]
        named = [row.get("id") for row in rows if Path(row.get("file", "")).name.removesuffix(".gz") == file]
        assert id is None or str(id) in {text and text.split(".")[0] for text in named}


@searched(8)
@given(data=st.binary(max_size=60), place=st.integers(0, 60))
def test_any_bytes_in_a_manifest(tmp_path: Path, data: bytes, place: int) -> None:
    """Bytes among those of a good manifest change nothing, or refuse it in one line, or are a part of their line."""
    good = b"file,id,name\na.csv,1,Bitcoin\nb.csv,52,XRP\n"
    manifest = tmp_path / "manifest.csv"
    manifest.write_bytes(good[:place] + data + good[place:])
    _, problem = assigned_ids(manifest)
    assert "\n" not in escaped(problem)
    assert len(problem) < 1_000
