"""What a command line asks for. Each option is declared here, once, as a field with its default.

Knows what options mean; refuses to know how they are typed, and which of them fit together.
"""

# ruff: noqa: RUF009 - the call that declares an option returns a dataclass field

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from refresh.catalog import BUILDERS, DEFAULT_ZONE
from refresh.due.selection import Detection, Elsewhere, Filters, Selection
from refresh.installation import log_folder
from refresh.options.asset_names import only_ids
from refresh.options.cluster_value import CLUSTER
from refresh.options.connection import connection, database_option, partitions_option, settings_option, shards_option
from refresh.options.declaration import (
    BUILDER,
    DAILY,
    EVERY_BUILDER,
    REFRESHING,
    WITH_BARS,
    WITH_EMAS,
    Section,
    declared_options,
    option,
)
from refresh.options.elsewhere import ELSEWHERE

from refresh.options.values import (  # isort: skip
    COUNT, DAYS, DESCRIPTOR, DETECTION, DIR, FILE, ID, IDS, JOBS, NAME, NAMES, NUMBERS, PAIRS, PERCENT, SAMPLE,
    SPAN, SWITCH, TEXT_ID, TIME, ZONE,
)  # fmt: skip
from refresh.wording import counted, listed

Names = tuple[str, ...]
what = partial(option, section=Section.WHAT)
series = partial(option, section=Section.SERIES)
changes = partial(option, section=Section.CHANGES)
output = partial(option, section=Section.OUTPUT)
watching = partial(option, section=Section.WATCHING)


def names_of(target: str) -> str:
    """The names of the builders that a target runs, as a list in a sentence."""
    return listed(builder.name for builder in BUILDERS if builder.group.key == target)


def _all_of(target: str, noun: str) -> str:
    names = names_of(target)
    return f"the {counted(len(names.split()), noun)}: {names}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a command line asks of a refresh; ``None`` is no narrowing, or a default that is computed later.

    ``given``: the options that have a value because somebody named one, on the command line, in the environment or
    by another value than the default. ``from_environment``: those of them that were not typed.
    """

    builder: str | None = what(NAME, "the builder, e.g. bars.1d or emas.cal", programs=BUILDER, is_positional=True)
    all: bool = what(SWITCH, "bars, then EMAs", default=False, programs=DAILY)
    bars: bool = what(SWITCH, _all_of("bars", "bar builder"), default=False, programs=DAILY)
    emas: bool = what(SWITCH, _all_of("emas", "EMA refresher"), default=False, programs=DAILY)
    builders: Names | None = what(NAMES, "only these bar builders, e.g. 1d,cal_us", programs=WITH_BARS)
    refreshers: Names | None = what(NAMES, "only these EMA refreshers, e.g. cal,v2", programs=WITH_EMAS)
    skip: Names = what(NAMES, "leave out these builders, e.g. v2; multi_tf means two, emas.multi_tf one", default=())
    resume: bool = what(SWITCH, "only what the latest failed or interrupted run left", default=False)
    dry_run: bool = what(SWITCH, "print the plan and write nothing", default=False)
    explain: int | None = what(ID, "print the state of one asset, and what a run would do to it and why")
    jobs: int | None = what(
        JOBS,
        "run up to N builders side by side",
        default_words="the number of cores, or of workers' threads",
    )
    cluster: str | None = what(
        CLUSTER,
        "start builders on workers: tcp://HOST:PORT of a Dask scheduler, or local:N for N processes here",
        default_words="none, they start here",
        environment="REFRESH_CLUSTER",
        example="tcp://10.0.0.5:8786",
    )
    timeout: timedelta | None = what(
        SPAN, "time limit of a builder", default_words="ten times its estimate, at least 30m"
    )
    run_id: str | None = what(TEXT_ID, "the run that the builder works for", programs=BUILDER)
    worker: str | None = what(
        NAME, "the worker that starts the builder, which refuses a database without that run", programs=BUILDER
    )
    now: datetime | None = what(TIME, "the clock of that run", programs=BUILDER)

    ids: tuple[int | str, ...] | None = series(
        IDS, "only these assets, by id or symbol, e.g. 1,52,BTC, or all", programs=REFRESHING
    )
    tfs: Names | None = series(NAMES, "only these timeframes, e.g. 7d,1w,3M_CAL", concerns="tfs")
    periods: tuple[int, ...] | None = series(NUMBERS, "only EMAs of these periods, e.g. 10,20", concerns="periods")
    tf_period_combos: tuple[tuple[str, int], ...] | None = series(
        PAIRS, "only these EMA series, e.g. 7d:10,7d:20", concerns="periods"
    )
    max_lag: timedelta = series(
        SPAN, "skip EMAs whose bars lag the source by more than TIME", default=timedelta(days=1)
    )

    full_rebuild: bool = changes(
        SWITCH, "rebuild the selection from the first day", default=False, concerns=EVERY_BUILDER
    )
    detect: str = changes(DETECTION, "how changes are found: digest or lookback", default="digest", concerns="source")
    lookback_days: int | None = changes(
        DAYS, "with --detect lookback: compare only the last DAYS days", concerns="source"
    )
    restate_limit: float = changes(
        PERCENT, "refuse a run that restates more than PERCENT of the assets", default=20.0, concerns="source"
    )
    elsewhere: Elsewhere = changes(
        ELSEWHERE,
        "the assets of other databases and those restated at once, e.g. 4000:12, as a run over shards says",
        default=Elsewhere(),
        default_words="none",
        concerns="source",
    )
    accept_restatement: bool = changes(SWITCH, "accept refused restatements", default=False, concerns="source")
    fold: bool = changes(SWITCH, "fold rows finer than a day into days, from now on", default=False, concerns="source")
    prune: bool = changes(SWITCH, "remove assets that are gone from the source", default=False, concerns="source")

    db_url: str | None = database_option()
    config: str | None = settings_option()
    shards: str | None = shards_option()
    show_settings: bool = connection(
        SWITCH, "print every setting with its value and where it is from, and nothing secret", default=False
    )
    tz: str | None = connection(
        ZONE,
        "time zone in which a day starts",
        default_words="that of the tables, UTC for new ones",
        concerns=EVERY_BUILDER,
        environment="REFRESH_TZ",
        example="Europe/Berlin",
    )
    no_migrate: bool = connection(
        SWITCH,
        "change nothing in tables of an older version: say what is outstanding, and end",
        default=False,
        programs=REFRESHING,
    )
    partitions: int | None = partitions_option()
    retries: int = connection(COUNT, "retries after a database interruption", default=4, concerns=EVERY_BUILDER)
    wait_lock: timedelta = connection(SPAN, "wait up to TIME for another refresh, e.g. 10m", default=timedelta(0))

    json: str | None = output(FILE, "write the run, or the plan of a dry run, as JSON; - is stdout")
    html: str | None = output(FILE, "write an HTML report", programs=DAILY)
    metrics: str | None = output(FILE, "write metrics in Prometheus' text format", programs=DAILY)
    log_dir: str = output(
        DIR,
        "folder of the logs",
        default=str(log_folder()),
        default_words=".logs in a checkout, else the platform's folder for logs",
        environment="REFRESH_LOG_DIR",
    )
    keep_logs: int = output(DAYS, "remove logs that are older than DAYS days", default=30)
    quiet: bool = output(SWITCH, "print only the summary, and errors", default=False)
    verbose: bool = output(SWITCH, "add the traceback to errors", default=False, programs=REFRESHING)
    outcomes_fd: int | None = output(DESCRIPTOR, "file descriptor that gets a line of JSON per asset", programs=BUILDER)

    validate: bool = watching(
        SWITCH,
        "check every table, after the refresh if there is one",
        default=False,
        programs=DAILY,
    )
    sample: int | str | None = watching(
        SAMPLE, "recompute N assets, or all", default_words="1 in 100", programs=DAILY, goes_with="validate"
    )
    check: bool = watching(
        SWITCH, "print whether every asset is fresh in every table, and exit with 0 or 1", default=False, programs=DAILY
    )
    max_age: timedelta = watching(
        SPAN,
        "how old the last refresh of a builder may be, and days of the source that are not taken in",
        default=timedelta(hours=26),
        programs=DAILY,
        goes_with="check",
    )
    digest: bool = watching(
        SWITCH,
        "print the last seven days beside the seven before, and send them as an alert",
        default=False,
        programs=DAILY,
    )
    alert_on_error: bool = watching(SWITCH, "warn if no alert channel is configured", default=False)

    given: frozenset[str] = frozenset()
    from_environment: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Count every option that differs from its default as given, so that ``replace`` loses none."""
        differing = [declared.name for declared in OPTIONS if getattr(self, declared.name) != declared.default]
        object.__setattr__(self, "given", self.given.union(differing))

    @property
    def launches(self) -> bool:
        """Whether builders run: without a target, --check, --validate, --html and the like only look."""
        has_target = self.all or self.bars or self.emas
        writes = self.html is not None or self.metrics is not None
        looks = self.check or self.digest or self.validate or self.explain is not None or self.show_settings or writes
        return has_target or not looks

    @property
    def spreads(self) -> bool:
        """Whether the work is on several databases: a single one that was typed goes before a setting."""
        is_typed = self.db_url is not None and "db_url" not in self.from_environment
        return self.shards is not None and not is_typed

    @property
    def asset_ids(self) -> tuple[int, ...] | None:
        """The assets, by id; ``None``: all. Symbols are looked up before."""
        return only_ids(self.ids)

    @property
    def selection(self) -> Selection:
        """Which assets and series, and how they are treated."""
        return Selection(
            ids=self.asset_ids,
            filters=Filters(tfs=self.tfs, periods=self.periods, pairs=self.tf_period_combos),
            rebuild=self.full_rebuild,
            detection=Detection(
                lookback_days=self.lookback_days,
                restate_limit=self.restate_limit,
                accept_restatement=self.accept_restatement,
                prune=self.prune,
                elsewhere=self.elsewhere,
            ),
            max_lag=self.max_lag,
            retries=self.retries,
            tz=self.tz or DEFAULT_ZONE,
            fold=self.fold,
        )

    def zoned(self, tz: str | None) -> Request:
        """The same in a time zone that nobody typed: that of the tables, for whoever named none."""
        if self.tz or not tz:
            return self
        return replace(self, tz=tz, from_environment=self.from_environment | {"tz"})


OPTIONS = declared_options(Request)
