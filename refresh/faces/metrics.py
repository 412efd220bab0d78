"""Prometheus' text format, version 0.0.4: names, what they mean, and values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

PREFIX = "daily_refresh_"
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A number that can go up and down, once for each set of labels. ``help`` says what it counts, and the unit."""

    name: str
    help: str
    values: Mapping[Labels, float]


def metric(name: str, help: str, value: float | None) -> Metric:
    """A metric without labels; without a value if it is ``None``."""
    return Metric(name=name, help=help, values={} if value is None else {(): value})


def labelled(name: str, help: str, label: str, values: Mapping[str, float]) -> Metric:
    """A metric with one label."""
    return Metric(name=name, help=help, values={((label, key),): value for key, value in values.items()})


def text(metrics: Iterable[Metric]) -> str:
    """The document that a scraper reads."""
    lines: list[str] = []
    for item in metrics:
        name = PREFIX + item.name
        lines += [f"# HELP {name} {_escaped(item.help)}", f"# TYPE {name} gauge"]
        lines += [f"{name}{_labels(labels)} {value!r}" for labels, value in item.values.items()]
    return "\n".join(lines) + "\n"


def _labels(labels: Labels) -> str:
    pairs = [f'{key}="{_quoted(value)}"' for key, value in labels]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quoted(value: str) -> str:
    return _escaped(value).replace('"', r"\"")
