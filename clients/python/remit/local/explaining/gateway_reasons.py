"""The reasons of gateways, and those that stand for one that gave none."""

from remit.errors import (
    ApprovalPending,
    GatewayFailure,
    InvalidRequest,
    NotFound,
    RateLimited,
    Refused,
    Remedy,
    TaskOver,
    Unauthenticated,
    Unavailable,
)
from remit.local.errors import IssuerUnavailable
from remit.local.explaining.known import MEND_HERE, Known

_OPERATOR = "tell whoever runs the gateway: its log has the cause"
GATEWAY_REASONS: dict[str, Known] = {
    "INVALID_REQUEST": Known(
        "the request breaks a rule, and nothing was decided",
        "a field is missing, malformed or out of its bounds; the message names field and rule",
        InvalidRequest,
        todo="docs/intents.md has every form of an intent",
    ),
    "SUBJECT_TOKEN_REJECTED": Known(
        "the user's token was not accepted",
        "it is over, is for another audience, is from an unknown issuer, or its user or session was revoked",
        Unauthenticated,
        Remedy.REAUTHENTICATE,
    ),
    "ACTOR_REJECTED": Known(
        "the agent's own identity was not accepted",
        "its certificate or token is over, is not from an authority that the gateway trusts, or it was blocked; "
        "or it came to the port for the other kind of proof",
        Unauthenticated,
    ),
    "TOKEN_NOT_BOUND": Known(
        "the user's token was made for another agent",
        "a subject token names who may present it (azp, client_id, may_act, act or cnf), and that is not this agent",
        Refused,
        Remedy.REAUTHENTICATE,
        "sign in through the client that the gateway knows this agent by (client_ids in its configuration)",
    ),
    "TOKEN_REPLAYED": Known(
        "the user's token has served another task already",
        "its issuer is marked single_use: one token is good for one task",
        Refused,
        Remedy.REAUTHENTICATE,
    ),
    "POLICY_DENIED": Known(
        "policy says no",
        "no entitlement lets this user delegate this to this agent, or a rule of the security team denies it",
        Refused,
        Remedy.GIVE_UP,
    ),
    "CEILING_EXCEEDED": Known(
        "more was asked for than may be issued",
        "a permission lies outside what this user may delegate to this agent, or outside what the role itself may do",
        Refused,
        Remedy.NARROW,
    ),
    "NEVER_ISSUABLE": Known(
        "something was asked for that is never issued",
        "it would outlive the task or give lasting rights, whatever any policy says; the message names it",
        Refused,
        Remedy.NARROW,
    ),
    "INTENT_TOO_LARGE": Known(
        "what was asked for does not fit one session policy",
        "AWS takes 2,048 characters; a session policy with its guards needs more",
        Refused,
        Remedy.SPLIT,
        "use wider prefixes instead of many keys",
    ),
    "INTENT_SPANS_ROLES": Known(
        "what was asked for lies in several roles",
        "one set of credentials is of one role",
        Refused,
        Remedy.SPLIT,
    ),
    "GRANT_NOT_LIVE": Known(
        "the task or the grant is over",
        "it was ended, revoked, or has expired; its credentials work no more, or not for long",
        TaskOver,
    ),
    "DELEGATION_TOO_DEEP": Known(
        "the task lies too deep under others to hand on a part of it",
        "the gateway bounds how many tasks may lie above one",
        Refused,
        Remedy.GIVE_UP,
        "let an agent further up hand on the task",
    ),
    "APPROVAL_PENDING": Known(
        "people have to approve this first",
        "an entitlement asks for it",
        ApprovalPending,
        todo="somebody of the groups that the message names must approve it; then ask again with the same request id",
        is_all=True,
    ),
    "APPROVAL_REFUSED": Known(
        "somebody who was asked said no", "an approver refused this very request", Refused, Remedy.GIVE_UP
    ),
    "APPROVAL_LAPSED": Known(
        "nobody approved in time, or what was approved is no longer what would be issued",
        "an approval holds for one exact session policy, and for a limited time",
        Refused,
        Remedy.ASK_APPROVAL,
        "ask anew, without the old request id",
    ),
    "APPROVAL_DECIDED": Known(
        "the approval was decided already", "somebody was quicker", InvalidRequest, todo="look at it again", is_all=True
    ),
    "APPROVAL_CHANGED": Known(
        "what is to be approved changed meanwhile",
        "an approval holds for one exact session policy",
        InvalidRequest,
        todo="look at it again, then decide",
        is_all=True,
    ),
    "REVISION_REFUSED": Known(
        "a policy revision was not taken",
        "it does not load, or fails its own tests or the gateway's known-bad sample",
        InvalidRequest,
        todo=MEND_HERE,
        is_all=True,
    ),
    "REVISION_CHANGED": Known(
        "another policy revision is active by now",
        "somebody activated one meanwhile",
        InvalidRequest,
        todo="look at the active revision, then decide",
        is_all=True,
    ),
    "NOT_AUTHORIZED": Known(
        "this caller may not do that on the security side", "data.remit.admin decides who may", Refused, Remedy.GIVE_UP
    ),
    "NOT_FOUND": Known(
        "what was named is not there, or is not this caller's to see",
        "tasks and grants are visible to their own agent only",
        NotFound,
        todo="check the id, and on whose behalf you ask",
        is_all=True,
    ),
    "RATE_LIMITED": Known(
        "this agent is over its budget, or AWS STS is", "so many requests are allowed in a time", RateLimited
    ),
    "OVERLOADED": Known("the gateway is full", "more calls wait than it can answer in time", RateLimited),
    "STREAM_ENDED": Known(
        "a stream was ended by the gateway", "it is stopping, or the stream got too slow", Unavailable
    ),
    "POLICY_UNAVAILABLE": Known(
        "no policy decided", "the policy engine is not there or misbehaves; that is a no, never a yes", Unavailable
    ),
    "LEDGER_UNAVAILABLE": Known(
        "nothing could be recorded, so nothing was given", "the gateway's database is not there", Unavailable
    ),
    "STS_UNAVAILABLE": Known("AWS STS gave no credentials", "it is not there, throttles, or misbehaves", Unavailable),
    "ISSUER_UNAVAILABLE": Known(
        "an identity provider cannot be reached",
        "the gateway cannot have its keys, or this machine cannot reach it to sign in",
        IssuerUnavailable,
    ),
    "UNAVAILABLE": Known("the gateway cannot be reached", "the network, or the gateway itself, is away", Unavailable),
    "DEADLINE_EXCEEDED": Known("no answer came in time", "the gateway or something behind it is slow", Unavailable),
    "INTERNAL": Known(
        "an internal error", "the gateway failed in a way it cannot explain", GatewayFailure, todo=_OPERATOR
    ),
    "UNKNOWN": Known(
        "a failure without a reason", "no Remit answered, or one of another age", GatewayFailure, todo=_OPERATOR
    ),
}
