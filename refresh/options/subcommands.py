"""The subcommands of ``daily-refresh``: each says some options of another program, and takes some of the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from refresh.catalog import Group
from refresh.options.declaration import Option, Program

PAGE = "report.html"
"""The page that is written where no file is named."""
TARGETS = ("all", *(group.key for group in Group))

_WHAT = {*TARGETS, "builders", "refreshers", "skip"}
_SERIES = {"ids", "tfs", "periods", "tf_period_combos"}
_CONNECTION = {"db_url", "config", "shards", "retries"}
_LOG = {"log_dir", "keep_logs", "quiet", "verbose"}
_CHANGES = {
    *("full_rebuild", "detect", "lookback_days", "restate_limit", "elsewhere", "accept_restatement"),
    *("fold", "prune", "resume", "max_lag", "tz", "no_migrate", "partitions"),
}
_RUN = {"jobs", "cluster", "timeout", "wait_lock", "alert_on_error", "json", "html", "metrics", "validate", "sample"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Subcommand:
    """What a subcommand says by itself, and what it takes.

    ``means``: options that it says, unless they are typed; ``target``: the one that it says unless another is typed;
    ``takes``: the names of the options that may be typed; ``plain``: the option among them whose value is typed as a
    plain word, which may be absent if the subcommand says it.
    """

    means: Mapping[str, Any] = field(default_factory=dict)
    target: str = ""
    takes: frozenset[str]
    plain: str = ""

    def shown(self, option: Option) -> Option:
        """An option as this subcommand takes it."""
        if option.name == self.plain:
            return replace(option, is_positional=True, nargs="?" if self.plain in self.means else None)
        return replace(option, goes_with="" if option.goes_with in self.means else option.goes_with)

    def said(self, typed: Collection[str]) -> dict[str, Any]:
        """The options that it says by itself, beside those that were typed."""
        target = {self.target: True} if self.target and not set(TARGETS).intersection(typed) else {}
        return {**self.means, **target}


SUBCOMMANDS = {
    Program.RUN: Subcommand(
        target="all",
        takes=frozenset({*_WHAT, *_SERIES, *_CHANGES, *_CONNECTION, *_LOG, *_RUN}),
    ),
    Program.PLAN: Subcommand(
        means={"dry_run": True},
        target="all",
        takes=frozenset({*_WHAT, *_SERIES, *_CHANGES, *_CONNECTION, "verbose", "jobs", "json"}),
    ),
    Program.CHECK: Subcommand(
        means={"check": True}, takes=frozenset({*_WHAT, "ids", "max_lag", "max_age", *_CONNECTION, "verbose"})
    ),
    Program.EXPLAIN: Subcommand(
        means={}, takes=frozenset({*_WHAT, *_SERIES, *_CHANGES, *_CONNECTION, "verbose", "explain"}), plain="explain"
    ),
    Program.VALIDATE: Subcommand(
        means={"validate": True},
        takes=frozenset({*_SERIES, *_CONNECTION, *_LOG, "sample", "json", "html"}),
    ),
    Program.PAGE: Subcommand(
        means={"html": PAGE},
        takes=frozenset({"ids", *_CONNECTION, *_LOG, "html"}),
        plain="html",
    ),
    Program.DIGEST: Subcommand(means={"digest": True}, takes=frozenset({*_CONNECTION, *_LOG})),
    Program.METRICS: Subcommand(
        takes=frozenset({"builders", "refreshers", "skip", "ids", *_CONNECTION, *_LOG, "metrics"}), plain="metrics"
    ),
    Program.SETTINGS: Subcommand(means={"show_settings": True}, takes=frozenset({*_CONNECTION, "tz", "log_dir"})),
    Program.DEMO: Subcommand(
        means={"validate": True, "sample": "all", "html": PAGE},
        target="all",
        takes=frozenset({*_CONNECTION, *_LOG, "html"}),
        plain="html",
    ),
}


def means(program: Program) -> Mapping[str, Any]:
    """What a program says by itself wherever it is called: nothing, unless it is a subcommand."""
    part = SUBCOMMANDS.get(program)
    return part.means if part else {}
