"""Golden files: what goes to STS for each capability alone, and that it grants that and not what is next to it.

REMIT_REGENERATE_GOLDEN=1 writes the files anew.
"""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from tests.capability_cases import CASES, request
from tests.policy_bundles import DEFAULT_POLICIES

from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.domain.capability import CapabilityTemplate, expand
from remit_server.domain.permission import as_document
from remit_server.domain.task import Capability
from remit_server.iam import (
    Allowed,
    Derived,
    Document,
    Naming,
    Policies,
    ResourcePolicy,
    contains_all,
    derive,
    evaluate,
    floor,
)

FOLDER = Path(__file__).parent / "capabilities"
END = datetime(2026, 11, 23, 13, 0, tzinfo=UTC)
EVERYTHING = Document.parse('{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}')
REOPENED = {"ecr.pull_image": ("ecr:GetAuthorizationToken",)}


@cache
def catalogue() -> Mapping[str, CapabilityTemplate]:
    return read_bundle(DEFAULT_POLICIES).capabilities


def intent_of(*capabilities: Capability) -> Document:
    expanded = (expand(one, catalogue(), path="intent.capabilities[0]") for one in capabilities)
    return as_document(permission for permissions in expanded for permission in permissions)


def derived(name: str) -> Derived:
    intent = intent_of(Capability(name, CASES[name].parameters))
    found = derive(intent, [EVERYTHING], end=END)
    assert isinstance(found, Derived)
    assert isinstance(contains_all(found.document, [intent, floor(reopened=REOPENED.get(name, ()))]), tuple)
    return found


def test_every_capability_of_the_default_catalogue_has_a_case() -> None:
    assert set(CASES) == set(catalogue())


@pytest.mark.parametrize("name", CASES)
def test_a_capability_becomes_the_policy_that_is_written_down(name: str) -> None:
    path = FOLDER / f"{name}.json"

    found = derived(name)

    result = {
        "parameters": dict(CASES[name].parameters),
        "unguarded": [str(each) for each in found.unguarded],
        "size": found.size,
        "policy": json.loads(found.text),
    }
    if os.environ.get("REMIT_REGENERATE_GOLDEN") == "1":
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    else:
        assert result == json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CASES)
def test_a_capability_grants_its_calls_and_none_next_to_them(name: str) -> None:
    policies = Policies(identity=(EVERYTHING,), session=derived(name).document)

    granted = [call for call in CASES[name].granted if not isinstance(evaluate(policies, request(call)), Allowed)]
    refused = [call for call in CASES[name].refused if isinstance(evaluate(policies, request(call)), Allowed)]

    assert (granted, refused) == ([], [])


@pytest.mark.parametrize("name", CASES)
def test_a_resource_policy_that_names_the_session_adds_nothing_to_a_capability(name: str) -> None:
    generous = ResourcePolicy(EVERYTHING, Naming.SESSION)
    policies = Policies(identity=(EVERYTHING,), session=derived(name).document, resource=(generous,))

    leaks = [call for call in CASES[name].refused if isinstance(evaluate(policies, request(call)), Allowed)]

    assert CASES[name].refused
    assert leaks == []


def test_no_condition_of_a_capability_stays_unguarded() -> None:
    unguarded = {name: derived(name).unguarded for name in CASES}

    assert [name for name, conditions in unguarded.items() if conditions] == []


DATA = {"bucket": "warehouse", "prefix": "sales/orders/"}
QUERYING = {
    "athena.run_queries": CASES["athena.run_queries"].parameters,
    "s3.read_prefix": DATA,
    "s3.list_prefix": DATA,
    "glue.read_table": CASES["glue.read_table"].parameters,
    "s3.athena_results": CASES["s3.athena_results"].parameters,
}


@pytest.mark.parametrize("without", ["s3.athena_results", "glue.read_table", None])
def test_what_an_athena_query_needs_fits_one_session(without: str | None) -> None:
    asked = [Capability(name, parameters) for name, parameters in QUERYING.items() if name != without]

    found = derive(intent_of(*asked), [EVERYTHING], end=END)

    assert isinstance(found, Derived)


def test_pulling_from_a_registry_stays_on_the_floor_unless_a_role_re_opens_it() -> None:
    proof = contains_all(derived("ecr.pull_image").document, [floor()])

    assert not isinstance(proof, tuple)
