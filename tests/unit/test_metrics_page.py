"""docs/metrics.md, the alert rules and the dashboard say what figures there are, and no others."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.configuration_folder import DEPLOY

from remit_server.adapters.metrics.catalogue import Catalogue, Method
from remit_server.adapters.metrics.families import Across, Family, Kind
from remit_server.transport.grpc.methods import code_names, served_methods

PAGE = (DEPLOY.parent / "docs/metrics.md").read_text(encoding="utf-8")
FIGURES = Catalogue.of([Method(name, streams) for name, streams in served_methods()], code_names())
NAMED = re.compile(r"\b(?:remit|process)_[a-z_]+\b")
SUFFIXES = ("_bucket", "_sum", "_count")


def row_of(family: Family) -> str:
    """Returns the line by which the page tells a figure."""
    labels = [*family.labels, *(["worker"] if family.across is Across.EACH else [])]
    return f"| `{family.name}` | {family.kind.value} | {', '.join(f'`{label}`' for label in labels)} | {family.told} |"


def queried() -> Iterator[str]:
    """Yields every query of the alert rules and of the dashboard."""
    rules: Any = yaml.safe_load((DEPLOY / "metrics/alerts.yaml").read_text())
    yield from (rule["expr"] for group in rules["groups"] for rule in group["rules"])
    dashboard = json.loads((DEPLOY / "metrics/dashboard.json").read_text())
    yield from (target["expr"] for panel in dashboard["panels"] for target in panel["targets"])


def test_the_page_tells_every_figure_and_no_other() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]

    assert rows == [row_of(family) for family in FIGURES.families]


def test_rules_and_dashboard_ask_for_figures_that_there_are() -> None:
    told = {
        f"{family.name}{suffix}"
        for family in FIGURES.families
        for suffix in (SUFFIXES if family.kind is Kind.HISTOGRAM else ("",))
    }
    asked = {name for query in queried() for name in NAMED.findall(query)}

    assert asked
    assert asked <= told


@pytest.mark.parametrize("family", FIGURES.layout.families, ids=lambda family: family.name)
def test_every_value_of_a_label_is_known_beforehand(family: Family) -> None:
    rows = family.all_rows

    assert rows
    assert len(set(rows)) == len(rows)
    assert all(len(row) == len(family.labels) for row in rows)


def test_every_method_of_the_api_has_its_place() -> None:
    protos = (DEPLOY.parent / "protos/remit/v1").glob("*_service.proto")
    written = [
        (proto, re.findall(r"^\s*rpc (\w+)\(.*?\) returns \((stream )?", proto.read_text(), re.MULTILINE))
        for proto in protos
    ]
    methods = {(name, bool(streams)) for _, found in written for name, streams in found}

    placed = {(method.labels[1], method.streams) for method in FIGURES.methods}

    assert methods
    assert placed == methods | {("Check", False)}
