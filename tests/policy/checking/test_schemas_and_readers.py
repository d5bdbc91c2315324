"""The published schemas of the catalogue and the strict readers give the same verdict on whatever is mutated."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from remit_server.adapters.policy.bundles.catalogue import read_catalogue
from remit_server.adapters.policy.checking.administration import administration_findings
from remit_server.adapters.policy.checking.schemas import schemas

ROLE = "arn:aws:iam::111122223333:role/remit-reports"
PERMISSION = {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::reports/*"], "conditions": []}
ENTITLEMENTS: dict[str, Any] = {
    "roles": [ROLE],
    "by_group": {"analysts": ["reader"]},
    "entitlements": {
        "reader": {
            "description": "Reads",
            "actors": ["spiffe://acme.example/copilot"],
            "issuers": ["https://login.acme.example"],
            "task_labels": {"team": "reports"},
            "hours": {"days": ["Monday"], "from": "08:00", "to": "18:00", "time_zone": "Europe/Berlin"},
            "role_arn": ROLE,
            "kind": "standard",
            "permissions": [
                PERMISSION
                | {
                    "conditions": [
                        {"operator": "StringEquals", "key": "aws:RequestedRegion", "values": ["eu-central-1"]}
                    ]
                }
            ],
            "max_credential_seconds": 900,
            "max_task_seconds": 3600,
            "approval": {"groups": ["leads"], "by": "others", "min_approvers": 1, "valid_seconds": 600},
            "bind": {"source_cidrs": ["192.0.2.0/24"]},
            "offline_renewal": False,
        }
    },
}
CAPABILITIES: dict[str, Any] = {
    "s3.read_prefix": {
        "description": "Reads",
        "access": "read",
        "parameters": {"bucket": {"type": "s3_bucket"}, "prefix": {"type": "s3_prefix", "optional": True}},
        "permissions": [
            {
                "actions": ["s3:GetObject"],
                "resources": ["arn:aws:s3:::{bucket}/{prefix}*"],
                "needs": "prefix",
                "conditions": [{"operator": "StringEquals", "key": "aws:RequestedRegion", "values": ["eu-central-1"]}],
            }
        ],
        "kms_key_arns": ["arn:aws:kms:eu-central-1:111122223333:key/1234"],
    }
}
ADMINISTRATION: dict[str, Any] = {
    "by_group": {
        "security": [{"may": ["GrantService.ListGrants"], "visible": "all", "issuers": ["https://login.acme.example"]}]
    },
    "by_caller": {
        "https://ci.acme.example": {
            "deploy": [{"may": ["GrantService.ListGrants"], "visible": ["own", {"accounts": ["111122223333"]}]}]
        }
    },
}
# Between members, or between a value and what it is about: no schema says it, and the readers do.
BEYOND_A_SCHEMA = (
    "is not a permission",
    "must name an optional parameter",
    "which is no parameter of this capability",
    "uses the optional",
    "must begin before they end",
    "must be a network",
    "is reached by no group",
    "leads to no entitlement",
    "is not listed under roles",
)


def validator(name: str) -> Draft202012Validator:
    loaded = {name: json.loads(text) for name, text in schemas().items()}
    registry: Registry[Any] = Registry().with_resources(
        [(one["$id"], Resource.from_contents(one)) for one in loaded.values()]
    )
    Draft202012Validator.check_schema(loaded[name])
    return Draft202012Validator(loaded[name], registry=registry)


def of_catalogue(part: str) -> Callable[[Any], list[str]]:
    """Returns what the strict reader says of one part of the catalogue."""
    return lambda value: [one.problem for one in read_catalogue({"remit": {"catalog": {part: value}}}, {})[1]]


def of_administration(value: Any) -> list[str]:
    return [problem for _, problem, _, rule in administration_findings(value) if rule == "administration-shape"]


CHANGES: list[Any] = [None, True, 7, "x\ny", "", [], {}, -1, 10**9, "REMOVED", "DOUBLED", "EXTENDED"]


def mutants(value: Any) -> list[Any]:
    """Returns the value with one thing wrong at every place: taken out, added, doubled, or of another type."""
    found: list[Any] = []
    for path in _paths(value):
        for change in CHANGES:
            changed = copy.deepcopy(value)
            parent = changed
            for step in path[:-1]:
                parent = parent[step]
            if _change(parent, path[-1], change):
                found.append(changed)
    return found


def _change(parent: Any, step: Any, change: Any) -> bool:
    """Changes one place; says whether that could be done there."""
    if change == "REMOVED":
        del parent[step]
    elif change == "DOUBLED":
        if not isinstance(parent, list):
            return False
        parent.append(parent[step])
    elif change == "EXTENDED":
        if not isinstance(parent[step], dict):
            return False
        parent[step]["unheard_of"] = 1
    else:
        parent[step] = change
    return True


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for step, inner in steps for found in [(*path, step), *_paths(inner, (*path, step))]]


PARTS = {
    "entitlements.json": (ENTITLEMENTS, of_catalogue("entitlements")),
    "capabilities.json": (CAPABILITIES, of_catalogue("capabilities")),
    "administration.json": (ADMINISTRATION, of_administration),
}


@pytest.mark.parametrize(("name", "value", "read"), [(name, *one) for name, one in PARTS.items()], ids=PARTS.keys())
def test_schema_and_reader_agree_on_every_mutation(name: str, value: Any, read: Callable[[Any], list[str]]) -> None:
    judge = validator(name)
    assert judge.is_valid(value)
    assert read(value) == []

    disagreements = []
    for mutant in mutants(value):
        faults = [one for one in read(mutant) if not any(text in one for text in BEYOND_A_SCHEMA)]
        beyond = len(faults) < len(read(mutant))
        if bool(faults) is judge.is_valid(mutant) and not (beyond and not faults):
            disagreements.append((faults, mutant))

    assert disagreements == []
