"""The text format, against the parser of Prometheus' own library."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from refresh.faces.metrics import PREFIX, labelled, metric, text

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x85\u2028\u2029\x0b\x0c\x1c\x1d\x1e"))


@given(help=TEXTS, values=st.dictionaries(TEXTS, st.floats(allow_nan=False), max_size=4))
def test_parser_reads_what_was_written(help: str, values: dict[str, float]) -> None:
    """Whatever labels and helps contain, the parser gives them back, with the values bit for bit."""
    document = text([labelled("one", help, "key", values), metric("two", "None.", None), metric("three", "It.", 3)])
    families = {family.name: family for family in text_string_to_metric_families(document)}
    one = families[f"{PREFIX}one"]
    assert one.type == "gauge"
    assert {sample.labels["key"]: sample.value for sample in one.samples} == values
    assert [sample.value for sample in families[f"{PREFIX}three"].samples] == [3.0]
    assert f"{PREFIX}two" not in document.replace(f"# HELP {PREFIX}two None.\n# TYPE {PREFIX}two gauge\n", "")


@pytest.mark.parametrize("help", ["Back\\slash.", "Two\nlines.", 'A "quote".'])
def test_help_is_read_as_written(help: str) -> None:
    """The help is one line, whatever it has."""
    (family,) = text_string_to_metric_families(text([metric("one", help, 1)]))
    assert family.documentation == help
