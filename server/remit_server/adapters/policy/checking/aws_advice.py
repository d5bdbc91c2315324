"""Advises authors of capabilities and entitlements where AWS's own reference knows an action otherwise than they do.

Only advice, because the reference ages: AWS adds actions every week, and a policy that uses one of them is right.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from remit_server.adapters.policy.checking import aws_reference
from remit_server.adapters.policy.checking.aws_reference import PERMISSIONS_MANAGEMENT, AwsAction
from remit_server.adapters.policy.checking.places import Catalogue, Told
from remit_server.adapters.policy.checking.proofs import permissions_key
from remit_server.adapters.strict_fields import Where
from remit_server.domain.capability import PARTITION
from remit_server.iam import LASTING, ActionPattern, Effect, ResourcePattern, Statement, forbidden_action

_NAMED: Final = 3
_PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_NEWER: Final = "If it is newer than that, it is right"


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to look at: where it stands in a permission, what about it, and what to do."""

    where: Where
    problem: str
    mend: str
    rule: str


def capability_advice(catalogue: Catalogue) -> Iterator[Told]:
    """Yields what the reference has to say on a sound catalogue's capabilities."""
    for name, capability in catalogue.capabilities.items():
        for number, permission in enumerate(capability["permissions"]):
            for advice in permission_advice(permission, (name, "permissions", number)):
                yield advice.where, advice.problem, advice.mend, advice.rule


def entitlement_advice(catalogue: Catalogue) -> Iterator[Told]:
    """Yields what the reference has to say on a sound catalogue's entitlements; equal permissions are read once.

    Reads the reference: a few milliseconds for each AWS service that the catalogue names.
    """
    known: dict[str, tuple[Advice, ...]] = {}
    for name, entitlement in catalogue.entitlements.items():
        for number, permission in enumerate(entitlement["permissions"]):
            key = permissions_key([permission])
            if key not in known:
                known[key] = tuple(permission_advice(permission, ()))
            for advice in known[key]:
                where: Where = ("entitlements", name, "permissions", number, *advice.where)
                yield where, advice.problem, advice.mend, advice.rule


def permission_advice(permission: Mapping[str, Any], where: Where) -> Iterator[Advice]:
    """Yields advice on one permission as it stands in the catalogue, placeholders and all."""
    resources = [ResourcePattern.parse(_widened(text), authored=True) for text in permission["resources"]]
    keys = [condition["key"] for condition in permission.get("conditions", ())]
    known: list[AwsAction] = []
    complete = True
    for number, text in enumerate(permission["actions"]):
        place = (*where, "actions", number)
        pattern = ActionPattern.parse(text)
        actions = aws_reference.actions_of(pattern)
        complete = complete and bool(actions)
        known += actions
        yield from action_advice(pattern, place)
        if actions and not any(action.takes(resource) for action in actions for resource in resources):
            yield Advice(
                place, f"{pattern} {_what_it_takes(actions)}, and no resource here is one", _RESOURCES, "wrong-resource"
            )
    if complete:
        yield from _resource_advice(permission["resources"], resources, known, where)
        yield from _key_advice(keys, known, where)


_RESOURCES: Final = "Name the resources that it takes, or it will be refused whenever it is used"


def action_advice(pattern: ActionPattern, where: Where = ()) -> Iterator[Advice]:
    """Yields advice on one action pattern of a permission: never issued, unknown to AWS, or who may do what."""
    forbidden = forbidden_action(Statement(Effect.ALLOW, (pattern,), (_EVERYTHING,)))
    # What only lasts too long may be re-opened in the role's configuration, which is not the bundle's to know.
    if forbidden is not None and forbidden not in LASTING and (pattern.is_literal or pattern.service == "*"):
        yield Advice(
            where,
            f"{forbidden} is on the forbidden floor: {pattern} is never issued as it stands",
            _NEVER,
            "forbidden-floor",
        )
        return
    yield from unknown_action(pattern, where)
    managing = [
        action.name for action in aws_reference.actions_of(pattern) if PERMISSIONS_MANAGEMENT in action.access_levels
    ]
    if managing:
        what = "changes" if pattern.is_literal else f"holds {_some(managing)}, which change"
        mend = "Leave it out: an agent's task hardly needs it"
        yield Advice(where, f"{pattern} {what} who may do what", mend, "permissions-management")


_NEVER: Final = "Leave it out: whoever asks for it is refused"
_EVERYTHING: Final = ResourcePattern.parse("*")


def unknown_action(pattern: ActionPattern, where: Where = ()) -> Iterator[Advice]:
    """Yields advice on an action pattern that matches nothing that AWS's reference has."""
    if pattern.service == "*" or aws_reference.actions_of(pattern):
        return
    known = aws_reference.knows_service(pattern.service)
    what = f"no action {pattern}" if known else f"no service {pattern.service}"
    names = aws_reference.near(pattern)
    mend = f"Did you mean {' or '.join(names)}? {_NEWER}" if names else f"Look for its name. {_NEWER}"
    yield Advice(where, f"AWS's reference of {aws_reference.updated_on()} has {what}", mend, "unknown-action")


def _resource_advice(
    texts: list[str], resources: list[ResourcePattern], actions: list[AwsAction], where: Where
) -> Iterator[Advice]:
    """Yields the resources that none of the actions takes, where some other one is taken."""
    useless = [not any(action.takes(resource) for action in actions) for resource in resources]
    if all(useless):
        return  # said at each action
    for number, text in enumerate(texts):
        if useless[number]:
            yield Advice(
                (*where, "resources", number),
                f"no action of this permission takes {text}",
                "Take it out, or correct it",
                "wrong-resource",
            )


def _key_advice(keys: list[str], actions: list[AwsAction], where: Where) -> Iterator[Advice]:
    """Yields the condition keys that a request of one of the actions never carries."""
    for number, key in enumerate(keys):
        without = [action.name for action in actions if not action.knows(key)]
        if without:
            yield Advice(
                (*where, "conditions", number, "key"),
                f"AWS's reference of {aws_reference.updated_on()} names no key {key} for {_some(without)}",
                "Without the key the condition does not hold, and the action is refused. Correct the key, or write"
                " these actions as a permission of their own",
                "unknown-condition-key",
            )


def _what_it_takes(actions: tuple[AwsAction, ...]) -> str:
    """Says which resources actions take."""
    kinds = sorted({f"{kind.name} ({kind.arn})" for action in actions for kind in action.resource_types})
    return f"takes {_some(kinds)}" if kinds else "takes no resource but *"


def _some(names: list[str]) -> str:
    """Returns the first few names, and how many there are beyond them."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _widened(text: str) -> str:
    """Returns a template's resource with every placeholder open, as the widest pattern it can become."""
    return _PLACEHOLDER.sub(lambda match: "aws" if match.group(1) == PARTITION else "*", text)
