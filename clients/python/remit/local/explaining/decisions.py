"""What an earlier request came to, as the gateway remembers it."""

import os
from collections.abc import Mapping

from remit.grant import Decision, Grant, WouldRefuse
from remit.local.broker import gateway_of
from remit.local.explaining.explanation import Explanation
from remit.local.explaining.policies import permissions_of
from remit.local.explaining.reasons import REASONS
from remit.local.explaining.spelling import spelling_hints
from remit.local.wishes import Caller


def explain_request(request_id: str, environ: Mapping[str, str] = os.environ) -> Explanation:
    """Asks the gateway what a request of this agent came to; raises NotFound for none that it remembers."""
    with gateway_of(Caller.of(environ)) as gateway:
        return explain_decision(gateway.explain(request_id))


def explain_decision(decision: Decision) -> Explanation:
    """Returns what a decision says: a grant, or a refusal in the words in which it was told."""
    match decision:
        case Grant():
            return Explanation(
                decision.state.value,
                f"the request was granted: {decision.name}",
                more=(
                    f"for {decision.subject.id}, by {', '.join(decision.entitlements)}",
                    f"until {decision.expire_time:%F %T} UTC",
                    *(f"it may: {permission}" for permission in _permissions(decision.session_policy)),
                ),
            )
        case WouldRefuse():
            return _refusal(decision)


def _refusal(refusal: WouldRefuse) -> Explanation:
    known = REASONS.get(refusal.reason)
    lines = [line.strip() for line in str(refusal).splitlines()[1:]]
    lines += [f"spelling: {hint}" for hint in spelling_hints(failure.action for failure in refusal.failures)]
    return Explanation(refusal.reason, refusal.message, known.why if known else "", more=tuple(lines))


def _permissions(session_policy: str) -> tuple[object, ...]:
    try:
        return permissions_of(session_policy)
    except ValueError:
        return ()
