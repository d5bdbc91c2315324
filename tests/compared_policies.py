"""Catalogues to compare, and a policy that decides by one as the default rules do, in Python.

The fake exists because a law needs thousands of answers; what the real engine says to the default rules is compared
with it in tests/policy/test_policy_diff.py.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from remit_server.adapters.policy.answers.decision import decision_in
from remit_server.adapters.policy.bundles.bundle import Bundle, bundle_of
from remit_server.adapters.policy.bundles.compared_bundle import side_of
from remit_server.adapters.rego.asked import matches_actor
from remit_server.application.comparing.compare_policies import ComparePolicies
from remit_server.application.comparing.values import Comparison, Rules
from remit_server.domain.administration import AdminDecision, AdminDeny
from remit_server.domain.decision import Decision, DecisionInput, PolicyReason
from remit_server.domain.errors import Remedy

ROLES = ("arn:aws:iam::111122223333:role/one", "arn:aws:iam::111122223333:role/two")
OPTIONAL: dict[str, Any] = {"kind": "standard", "approval": None, "bind": None, "offline_renewal": False}


def entry(*permissions: tuple[str, str], **changes: Any) -> dict[str, Any]:
    """Returns an entitlement of a catalogue with these (action, resource) permissions."""
    return {
        "description": "for a test",
        "actors": ["spiffe://x/agent/*"],
        "role_arn": ROLES[0],
        "permissions": [{"actions": [one], "resources": [other], "conditions": []} for one, other in permissions],
        "max_credential_seconds": 900,
        "max_task_seconds": 3600,
        **changes,
    }


def catalogue(entries: Mapping[str, Any], by_group: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any]:
    """Returns a catalogue in which one group leads to everything, unless said otherwise."""
    groups = by_group if by_group is not None else ({"team": sorted(entries)} if entries else {})
    return {
        "roles": list(ROLES),
        "by_group": {group: list(ids) for group, ids in groups.items()},
        "entitlements": entries,
    }


def bundle(value: Mapping[str, Any], **files: str) -> Bundle:
    """Returns the bundle of a catalogue, which is checked as every bundle's is."""
    texts = {
        ".manifest": '{"roots": ["remit"]}',
        "remit/catalog/entitlements/data.json": json.dumps(value),
        **{path.replace("__", "/"): text for path, text in files.items()},
    }
    return bundle_of({path: text.encode() for path, text in texts.items()})


@dataclass(frozen=True)
class ByIndex:
    """Decides as the default rules do."""

    value: Mapping[str, Any]

    async def decide(self, question: DecisionInput, /) -> Decision:
        asked = json.loads(question.text)
        ids = {one for group in asked["subject"]["groups"] for one in self.value["by_group"].get(group, ())}
        found = [self._decided(name) for name in sorted(ids) if self._fits(self.value["entitlements"][name], asked)]
        reasons = [] if found else [{"code": "nothing", "message": "Nothing is there.", "remedy": "GIVE_UP"}]
        return decision_in({"allow": bool(found), "entitlements": found, "reasons": reasons})

    async def administer(self, _question: DecisionInput, /) -> AdminDecision:
        return AdminDeny((PolicyReason("nobody", "Nobody may.", Remedy.GIVE_UP),))

    def _decided(self, name: str) -> dict[str, Any]:
        raw = self.value["entitlements"][name]
        told = {
            key: value for key, value in raw.items() if key not in {"description", "actors", "issuers", "task_labels"}
        }
        return {"id": name, **OPTIONAL, **told}

    def _fits(self, raw: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
        labels = asked["task"]["labels"]
        return (
            any(matches_actor(pattern, asked["actor"]["id"]) for pattern in raw["actors"])
            and ("issuers" not in raw or asked["subject"]["issuer"] in raw["issuers"])
            and all(labels.get(name) == value for name, value in raw.get("task_labels", {}).items())
        )


async def compared(before: Mapping[str, Any], after: Mapping[str, Any], **rules: Rules) -> Comparison:
    """Returns the comparison of two catalogues under the default rules."""
    compare = ComparePolicies(ByIndex(before), ByIndex(after), matches_actor)
    then = side_of(bundle(before), rules.get("before", Rules()))
    return await compare(then, side_of(bundle(after), rules.get("after", Rules())))
