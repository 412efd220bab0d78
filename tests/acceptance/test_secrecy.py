"""What a run writes for others to read, and what vendors' names can do in it."""

from __future__ import annotations

import csv
from pathlib import Path

from bot_api import HEARTBEAT, TOKEN, serving
from prices import FILL
from programs import page_data, run
from refreshing import enable
from sqlalchemy import Engine
from statements import address, ask, execute, with_password

from refresh.catalog import SOURCE

PROGRAM = "run_daily_refresh.py"
PASSWORD = "s3cret-of-the-run"  # noqa: S105 - the server trusts everybody; it must not be shown
SECRETS = (PASSWORD, TOKEN, TOKEN.partition(":")[2], HEARTBEAT.rpartition("/")[2])
NAMES = (
    f"'; DROP TABLE {SOURCE}; --",
    "$$; $x$ \" \\' {0} %s %(id)s :id @x `id` $(id) ${HOME}",
    '=HYPERLINK("http://127.0.0.1:1/";"x")',
    "\\N",
    "NULL",
)
"""Names that mean something to SQL, to drivers, to a shell or to a spreadsheet."""


def test_no_secret_in_what_a_run_writes(engine: Engine, tmp_path: Path) -> None:
    """Neither the log, the documents, the page, the metrics nor the messages has a password, token or secret path."""
    enable(engine, ["2D"], [10])
    execute(engine, FILL, asset=1, first="2024-01-01Z", last="2024-02-09Z")
    execute(engine, "ALTER TABLE cmc_price_bars_multi_tf ADD CONSTRAINT nothing CHECK (id <> 1)")
    outputs = ("--json", "run.json", "--html", "page.html", "--metrics", "run.prom")
    arguments = [str(tmp_path / word) if "." in word else word for word in outputs]
    with serving() as bot:
        environ = {**bot.environ, "ALERT_URLS": f"json://me:{PASSWORD}@127.0.0.1:1/", "REFRESH_LOG_DIR": str(tmp_path)}
        url = with_password(engine.url, PASSWORD)
        ended = run(PROGRAM, "--all", "--verbose", *arguments, url=url, **environ)
        assert (ended.returncode, len(bot.texts), bot.beats) == (1, 1, ["start", "fail"])
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert len(written) == 5
    shown = {**written, "output": ended.stdout, "errors": ended.stderr, "message": "".join(bot.texts)}
    for name, text in shown.items():
        assert "nothing" in text or name == "run.prom"
        assert not [secret for secret in SECRETS if secret in text], name


def test_names_are_only_names(engine: Engine, tmp_path: Path) -> None:
    """Whatever a name would mean elsewhere, it arrives in the price table and on the page as it was written."""
    expected = dict(enumerate(NAMES, 1))
    with (tmp_path / "prices.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["date", "id", "name", "open", "high", "low", "close"])
        for id, name in expected.items():
            rows.writerow(["2024-01-01", id, name, 1, 2, 1, 2])
    loaded = run("-m refresh.load", str(tmp_path / "prices.csv"), url=address(engine))
    assert (loaded.returncode, loaded.stderr) == (0, "")
    assert dict(ask(engine, f"SELECT id, name FROM {SOURCE}")) == expected
    page = tmp_path / "page.html"
    built = run(PROGRAM, "--bars", "--builders", "1d", "--html", str(page), url=address(engine))
    assert (built.returncode, built.stderr) == (0, "")
    assert {asset["id"]: asset["name"] for asset in page_data(page)["freshness"]["assets"]} == expected
