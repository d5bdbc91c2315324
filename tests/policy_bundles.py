"""Small policy bundles for tests, and the questions to ask of them."""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from remit_sandbox.sample_account import role_policies
from remit_server.adapters.policy.bundles.bundle import Bundle, read_bundle
from remit_server.adapters.policy.checking.serving import Served
from remit_server.domain.decision import DecisionInput, canonical_json
from remit_server.domain.entitlement import Role
from remit_server.iam import Document

DEFAULT_POLICIES = Path(__file__).parents[1] / "policies"

HOUR = timedelta(hours=1)
# The gateway that the default policy is made for, with the sandbox's roles and nobody's identity provider.
SERVING = Served(
    roles=tuple(
        Role(f"arn:aws:iam::111122223333:role/{name}", "eu-central-1", Document.parse(json.loads(policy)), HOUR)
        for name, policy in role_policies().items()
    ),
    forbidden_extra=(),
    ceilings_digest="c" * 64,
    issuers=(),
    agents=(),
)

ENTITLEMENT = {
    "id": "reader",
    "role_arn": "arn:aws:iam::111122223333:role/reports",
    "kind": "standard",
    "permissions": [{"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::reports/*"], "conditions": []}],
    "max_credential_seconds": 3600,
    "max_task_seconds": 28800,
    "approval": None,
    "bind": None,
    "offline_renewal": False,
}
YES: dict[str, Any] = {"allow": True, "entitlements": [ENTITLEMENT], "reasons": []}
NO: dict[str, Any] = {
    "allow": False,
    "entitlements": [],
    "reasons": [{"code": "no", "message": "Not you.", "remedy": "GIVE_UP"}],
}

DENY_ALL = f"package remit.issue\n\ndecision := {json.dumps(NO)}\n"

# Does what the task's label `do` names; a stranger's task has none and is denied.
OBEDIENT = f"""package remit.issue

decision := {json.dumps(NO)} if not input.task.labels["do"]

decision := {json.dumps(YES)} if input.task.labels["do"] == "allow"

decision := count([1 | some a in numbers.range(1, 100000); some b in numbers.range(1, 100000); a + b == 0]) if {{
	input.task.labels["do"] == "hang"
}}

decision := count(numbers.range(1, 200000000)) if input.task.labels["do"] == "eat"

decision := 1 / 0 if input.task.labels["do"] == "fail"

decision := concat("", [text | some _ in numbers.range(1, 20000); text := "{"x" * 64}"]) if {{
	input.task.labels["do"] == "flood"
}}

decision := "yes" if input.task.labels["do"] == "text"

decision := {{"allow": true}} if input.task.labels["do"] == "half"

decision := [] if input.task.labels["do"] == "list"

decision := null if input.task.labels["do"] == "null"

decision := true if input.task.labels["do"] == "true"
"""


def written(folder: Path, files: Mapping[str, str]) -> Path:
    """Writes the files of a bundle, with a manifest unless one is given, and returns the folder."""
    for path, text in {".manifest": '{"roots": ["remit"]}', **files}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def bundle_of(folder: Path, issue_rego: str, **more: str) -> Bundle:
    """Returns a bundle whose decision is this Rego; `more` names further files under remit/ without their suffix."""
    files = {"remit/issue/issue.rego": issue_rego}
    files |= {f"remit/{name.replace('__', '/')}.rego": text for name, text in more.items()}
    return read_bundle(written(folder, files))


def question(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Returns alice's question through the sandbox's copilot, with parts of it replaced (objects are merged)."""
    base: dict[str, Any] = merged(
        {
            "subject": {
                "issuer": "https://login.sandbox.test",
                "id": "alice",
                "email": "alice@example.test",
                "groups": ["analysts"],
                "claims": {},
                "auth_time": 1795430000,
                "acr": "",
                "amr": ["pwd"],
            },
            "actor": {
                "id": "spiffe://remit.sandbox/agent/copilot",
                "kind": "spiffe",
                "issuer": "remit.sandbox",
                "claims": {},
            },
            "delegation_history": [],
            "parent_task": None,
            "task": {"id": "", "purpose": "summarise Q3", "labels": {}, "grants_so_far": 0},
            "intent": {
                "permissions": [
                    {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::reports/2026/q3/*"], "conditions": []}
                ],
                "capabilities": [],
            },
            "requested_duration_seconds": 900,
            "context": {"time": "2026-11-23T09:00:00Z", "source_ip": "192.0.2.7", "renewal": False},
        },
        changes or {},
    )
    return base


def asked(changes: Mapping[str, Any] | None = None) -> DecisionInput:
    """Returns the same question as the gateway sends it."""
    return DecisionInput(canonical_json(question(changes)))


def told_to(do: str) -> DecisionInput:
    """Returns a question that makes the obedient policy do this."""
    return asked({"task": {"labels": {"do": do}}})


def merged(base: Any, changes: Any) -> Any:
    """Returns `base` with `changes` laid over it: objects member by member, anything else replaced."""
    if not isinstance(base, Mapping) or not isinstance(changes, Mapping):
        return changes
    return {key: merged(base.get(key), changes[key]) if key in changes else base[key] for key in {**base, **changes}}
