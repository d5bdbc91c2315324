"""The questions that are put to both policies, as the gateway itself would put them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from json import loads
from typing import Any, Final

from remit_server.application.comparing.values import Asker
from remit_server.domain.decision import DecisionInput, canonical_json, decision_input
from remit_server.domain.identity import Actor, ActorKind, Delegation, Principal
from remit_server.domain.permission import Permission
from remit_server.domain.task import TaskIntent
from remit_server.iam import ActionPattern, ResourcePattern

SUBJECT: Final = "somebody"
# What hardly any rule has something against: it tells who one is, and needs no right.
HARMLESS: Final = Permission((ActionPattern.parse("sts:GetCallerIdentity"),), (ResourcePattern.parse("*"),))
_DURATION: Final = timedelta(seconds=900)


def question_of(asker: Asker, permissions: tuple[Permission, ...], variation: Mapping[str, Any]) -> DecisionInput:
    """Returns the policy's input for one who asks for these permissions, the caller's own variation laid over it."""
    asked = decision_input(
        _delegation(asker),
        TaskIntent("comparing two policies", permissions, (), dict(asker.labels)),
        permissions,
        task_id=None,
        grants_so_far=0,
        requested_duration=_DURATION,
        now=datetime.fromisoformat(asker.time),
        source_ip="192.0.2.1",
    )
    return DecisionInput(canonical_json(merged(loads(asked.text), variation))) if variation else asked


def operator_question(
    group: str, caller: tuple[str, str], issuer: str, rpc: str, target: Mapping[str, Any] | None
) -> DecisionInput:
    """Returns the policy's input for a member of a group (a person), or for a caller by its issuer and id."""
    person = not caller[1]
    return DecisionInput(
        canonical_json(
            {
                "caller": {
                    "issuer": issuer,
                    "id": SUBJECT if person else caller[1],
                    "kind": "person" if person else "workload",
                    "email": "",
                    "groups": [group] if person and group else [],
                    "claims": {},
                    "auth_time": 0,
                    "acr": "",
                    "amr": [],
                },
                "rpc": rpc,
                "target": target,
                "context": {"time": "2026-01-14T12:00:00Z", "source_ip": "192.0.2.1"},
            }
        )
    )


def merged(base: Any, changes: Any) -> Any:
    """Returns `base` with `changes` laid over it: objects member by member, anything else replaced."""
    if not isinstance(base, Mapping) or not isinstance(changes, Mapping):
        return changes
    return {key: merged(base.get(key), changes[key]) if key in changes else base[key] for key in {**base, **changes}}


def _delegation(asker: Asker) -> Delegation:
    """Returns a user of these groups through this actor; ids of the form spiffe://... are certificates'."""
    by_certificate = asker.actor.startswith("spiffe://")
    prefix = asker.actor.removeprefix("spiffe://")
    actor = Actor(
        asker.actor,
        ActorKind.SPIFFE if by_certificate else ActorKind.OIDC,
        prefix.partition("/")[0] if by_certificate else asker.actor.partition(":")[0],
    )
    subject = Principal(asker.issuer, "probe", SUBJECT, SUBJECT, asker.groups)
    then = datetime(2026, 1, 1, tzinfo=UTC)
    return Delegation(subject, actor, "0" * 32, then, then + timedelta(days=3650))
