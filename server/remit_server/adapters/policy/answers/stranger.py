"""The known-bad samples that every engine is asked before a policy may decide: strangers who want everything."""

from collections.abc import Awaitable, Callable
from typing import Final

from remit_server.adapters.policy.answers.decision import PolicyUnavailable
from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.domain.administration import AdminDecision, AdminDeny
from remit_server.domain.decision import Decision, DecisionInput, Deny, canonical_json


async def refuses_a_stranger(ask: Callable[[DecisionInput], Awaitable[Decision]]) -> None:
    """Raises BundleRefused unless the policy denies everything to nobody.

    `ask` puts a question to the policy that is to decide, and raises PolicyUnavailable where it has no decision.
    """
    try:
        decision = await ask(STRANGER)
    except PolicyUnavailable as outage:
        problem = f"the policy gives no decision on a stranger who asks for everything: {outage.why}"
        raise BundleRefused(
            [Finding("remit/issue/", 0, problem, "Deny by default, with a reason", "no-refusal")]
        ) from outage
    if not isinstance(decision, Deny):
        problem = "the policy allows a stranger without groups, through an unknown agent, everything"
        raise BundleRefused([Finding("remit/issue/", 0, problem, "Deny by default, with a reason", "no-refusal")])


async def refuses_a_strange_operator(ask: Callable[[DecisionInput], Awaitable[AdminDecision]]) -> None:
    """Raises BundleRefused unless the policy lets nobody into the security side; `ask` is as above."""
    try:
        decision = await ask(STRANGE_OPERATOR)
    except PolicyUnavailable as outage:
        problem = f"the policy gives no decision on a stranger who calls the security side: {outage.why}"
        raise BundleRefused(
            [Finding("remit/admin/", 0, problem, "Deny by default, with a reason", "no-refusal")]
        ) from outage
    if not isinstance(decision, AdminDeny):
        problem = "the policy lets a stranger without groups revoke what every agent holds"
        raise BundleRefused([Finding("remit/admin/", 0, problem, "Deny by default, with a reason", "no-refusal")])


STRANGE_OPERATOR: Final = DecisionInput(
    canonical_json(
        {
            "caller": {
                "issuer": "https://issuer.invalid",
                "id": "stranger",
                "kind": "person",
                "email": "",
                "groups": [],
                "claims": {},
                "auth_time": 0,
                "acr": "",
                "amr": [],
            },
            "rpc": "GrantService.RevokeGrants",
            "target": {"kind": "revision", "id": "0" * 64, "issuer": "", "block": True},
            "context": {"time": "2026-01-01T00:00:00Z", "source_ip": "192.0.2.1"},
        }
    )
)
STRANGER: Final = DecisionInput(
    canonical_json(
        {
            "subject": {
                "issuer": "https://issuer.invalid",
                "id": "stranger",
                "email": "",
                "groups": [],
                "claims": {},
                "auth_time": 0,
                "acr": "",
                "amr": [],
            },
            "actor": {
                "id": "spiffe://stranger.invalid/agent",
                "kind": "spiffe",
                "issuer": "stranger.invalid",
                "claims": {},
            },
            "delegation_history": [],
            "parent_task": None,
            "task": {"id": "", "purpose": "", "labels": {}, "grants_so_far": 0},
            "intent": {"permissions": [{"actions": ["*"], "resources": ["*"], "conditions": []}], "capabilities": []},
            "requested_duration_seconds": 900,
            "context": {"time": "2026-01-01T00:00:00Z", "source_ip": "192.0.2.1", "renewal": False},
        }
    )
)
