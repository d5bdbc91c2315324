"""What roles and the gateway may do, held to what they should: neither less nor, above all, more."""

from collections.abc import Iterable, Sequence
from typing import Final

from remit_server.adapters.aws.revoking.canary import PROBE_ACTION
from remit_server.adapters.aws.revoking.revoker import POLICY_ACTIONS
from remit_server.adapters.aws.setup.findings import Findings
from remit_server.adapters.aws.setup.live import (
    LivePolicy,
    LivePrincipal,
    MalformedPolicy,
    document_of,
    documents_of,
    statements_of,
)
from remit_server.adapters.aws.setup.policies import canary_rights, gateway_rights, revoker_rights
from remit_server.adapters.aws.setup.trust_checks import PLAN
from remit_server.application.revocation.ownership import ONE_LEDGER
from remit_server.application.revocation.texts import lines_of, mark_of
from remit_server.domain.entitlement import Role
from remit_server.iam import Allowed, Budget, Counterexample, Document, Policies, Request, Undecided, contains, evaluate

_PATIENCE: Final = Budget(
    parts=100_000, comparisons=2_000_000, states=50_000, atoms=12, permissions=200, evaluations=500_000
)
_MOST_VERSIONS: Final = 5
_ESCALATIONS: Final = (
    ("iam:CreatePolicyVersion", "policy/remit-revocations-1"),
    ("iam:PutRolePolicy", "role/any-other-role"),
    ("iam:AttachRolePolicy", "role/any-other-role"),
    ("iam:UpdateAssumeRolePolicy", "role/any-other-role"),
    ("iam:CreateAccessKey", "user/any-other-user"),
    ("iam:PassRole", "role/any-other-role"),
    ("sts:AssumeRole", "role/any-other-role"),
)


def check_ceiling(role: Role, live: LivePrincipal, left_out: frozenset[str], findings: Findings) -> None:
    """Notes where the role's own policies and the configured ceiling differ; `left_out` are revocation's policies."""
    mend = "copy the role's own policies into ceiling_file, or take from the role what its agents must not have"
    try:
        own = documents_of(live, left_out)
    except MalformedPolicy as wrong:
        findings.note(
            "ceiling-unreadable",
            f"its own policies cannot be compared with the ceiling: {wrong.rule}",
            why="what they allow beyond the ceiling is not known",
            mend="write them with Effect, Action, Resource and Condition only",
        )
        return
    wider = contains(own, role.ceiling, budget=_PATIENCE)
    if isinstance(wider, Counterexample):
        findings.fault(
            "ceiling-narrower-than-role",
            f"the role allows what ceiling_file does not: {told(wider)}",
            why="the ceiling is to be a copy of the role's own policy; a session that is opened by others has it all",
            mend=mend,
        )
    elif isinstance(wider, Undecided):
        _note_undecided(wider, findings)
    _check_what_is_lacking(role, own, mend, findings)
    if live.boundary is not None:
        findings.note(
            "role-boundary",
            f"it has the permissions boundary {live.boundary}",
            why="what that does not allow is issued and then refused by AWS",
            mend="take it into account in ceiling_file",
        )


def _check_what_is_lacking(role: Role, own: Document, mend: str, findings: Findings) -> None:
    """Notes what the ceiling allows and the role does not."""
    narrower = contains(role.ceiling, own, budget=_PATIENCE)
    if isinstance(narrower, Counterexample):
        findings.note(
            "ceiling-wider-than-role",
            f"ceiling_file allows what the role does not: {told(narrower)}",
            why="it may be issued, and AWS then refuses it: agents are told a wrong reason",
            mend=mend,
        )


def _note_undecided(found: Undecided, findings: Findings) -> None:
    findings.note(
        "ceiling-undecided",
        f"whether the role allows more than ceiling_file was not decided: {found.reason}",
        why="what it allows beyond the ceiling is not known",
        mend="write the role's policies with fewer wildcards",
    )


def check_longest_session(role: Role, live: LivePrincipal, findings: Findings) -> None:
    """Notes a MaxSessionDuration that is shorter than what is asked for, or longer than ever needed."""
    asked, allowed = int(role.max_session.total_seconds()), live.max_session_seconds
    if allowed < asked:
        findings.fault(
            "max-session-short",
            f"its MaxSessionDuration is {allowed} s, max_session_seconds is {asked}",
            why="AWS refuses the longer sessions",
            mend=f"set max_session_seconds to {allowed}, or the role's to {asked}",
        )
    elif allowed > max(asked, 3_600):
        findings.note(
            "max-session-long",
            f"its MaxSessionDuration is {allowed} s, max_session_seconds is {asked}",
            why="sessions that others open may last longer than Remit's",
            mend=f"set it to {max(asked, 3_600)}",
        )


def check_attached(live: LivePrincipal, policy_arns: Sequence[str], findings: Findings) -> None:
    """Notes revocation policies that do not hold the role's sessions."""
    missing = [arn for arn in policy_arns if arn not in live.attached]
    if missing:
        findings.fault(
            "revocation-not-attached",
            f"not attached to it: {', '.join(arn.rpartition('/')[2] for arn in missing)}",
            why="a revoke is written there, and does not reach this role's sessions: they work until their time guards",
            mend=f"attach them; {PLAN}",
        )


def check_policy(policy: LivePolicy | None, own_mark: str | None, findings: Findings) -> None:
    """Notes a revocation policy that is missing, or that somebody else has written: by hand, or another ledger."""
    if policy is None:
        why = "no revoke can be written, and what is revoked works until its time guard"
        findings.fault("revocation-policy-missing", "it does not exist", why=why, mend=f"create it; {PLAN}")
        return
    if lines_of(policy.text) is None:
        findings.fault(
            "revocation-policy-foreign",
            "its text is not the gateway's",
            why="whoever changed it may have let the revoked in again; the gateway mends that within five minutes",
            mend="see in CloudTrail who calls iam:CreatePolicyVersion, and take that right away",
        )
    _check_mark(mark_of(policy.text), own_mark, findings)
    if policy.versions >= _MOST_VERSIONS:
        findings.note(
            "revocation-policy-versions",
            f"it has {policy.versions} versions, which is all it can have",
            why="the gateway deletes the oldest before its next write, which takes a moment longer",
            mend="nothing, while a gateway runs; else see that remit-revoker may call iam:DeletePolicyVersion",
        )


def _check_mark(mark: str, own_mark: str | None, findings: Findings) -> None:
    """Notes whose a revocation policy is, unless it is nobody's or this gateway's."""
    if mark in ("", own_mark):
        return
    if own_mark is not None:
        findings.fault(
            "revocation-policy-of-another",
            f"it carries the mark {mark} of another gateway's database; that of the configured one is {own_mark}",
            why="this gateway does not write it: what it revokes may work until its time guard",
            mend=ONE_LEDGER,
        )
        return
    findings.note(
        "revocation-policy-mark",
        f"it carries the mark {mark} of a gateway's database; the configured one cannot be read from here",
        why="a gateway does not write what carries another database's mark, and says so in its log with its own",
        mend="run this where the configured database can be read, or compare the mark with that in the gateway's log",
    )


def check_canary(lives: Iterable[LivePrincipal], findings: Findings) -> None:
    """Notes where no role of those that canaries are opened of may make their call."""
    request = Request(PROBE_ACTION, "*", {})
    for live in lives:
        try:
            if isinstance(evaluate(Policies(identity=(documents_of(live),)), request), Allowed):
                return
        except MalformedPolicy:
            continue
    findings.note(
        "canary-not-allowed",
        f"none of its first roles allows {PROBE_ACTION}",
        why="that a revoke is in force is then ASSUMED after the propagation bound and never OBSERVED",
        mend=f"attach remit-canary to one of them; {PLAN}",
    )


def check_revoker(live: LivePrincipal, policy_arns: Sequence[str], findings: Findings) -> None:
    """Notes rights that remit-revoker lacks, and any that it has beyond."""
    try:
        own = documents_of(live)
    except MalformedPolicy as wrong:
        mend = PLAN
        findings.fault("revoker-unreadable", f"its policies cannot be read: {wrong.rule}", why="see there", mend=mend)
        return
    wanted = [(action, arn) for action in POLICY_ACTIONS for arn in policy_arns]
    missing = [pair for pair in wanted if not _is_allowed(own, *pair)]
    if missing:
        action, arn = missing[0]
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        why = "revokes cannot be written; what is revoked works until its time guard"
        findings.fault("revoker-lacks", f"it may not {action} on {arn}{more}", why=why, mend=PLAN)
    beyond = contains(own, document_of(statements_of(revoker_rights(policy_arns))), budget=_PATIENCE)
    if not isinstance(beyond, Counterexample | Undecided):
        return
    what = told(beyond) if isinstance(beyond, Counterexample) else beyond.reason
    why = "whoever holds the gateway's keys could use it for that"
    findings.fault("revoker-wide", f"it may do more than write revocation policies: {what}", why=why, mend=PLAN)


def check_gateway(live: LivePrincipal, roles: Sequence[str], revokers: Sequence[str], findings: Findings) -> None:
    """Notes what the gateway's own identity lacks, and what it has that leads further."""
    try:
        own = documents_of(live)
    except MalformedPolicy as wrong:
        why = "what it may do beyond is not known"
        findings.note("gateway-unreadable", f"its policies cannot be read: {wrong.rule}", why=why, mend=PLAN)
        return
    missing = [arn for arn in (*roles, *revokers) if not _is_allowed(own, "sts:AssumeRole", arn)]
    if missing:
        why = "AWS refuses to open sessions of them, unless their trust policies name the gateway in the same account"
        findings.note("gateway-lacks", f"it may not open sessions of {', '.join(missing)}", why=why, mend=PLAN)
    account = live.arn.split(":")[4]
    leads = [action for action, name in _ESCALATIONS if _is_allowed(own, action, f"arn:aws:iam::{account}:{name}")]
    if leads:
        findings.fault(
            "gateway-wide",
            f"its own identity may {', '.join(leads)}",
            why="whoever takes over the gateway could let the revoked in again, or become somebody else",
            mend=f"take these rights away; {PLAN}",
        )
        return
    beyond = contains(own, document_of(statements_of(gateway_rights(roles, revokers))), budget=_PATIENCE)
    if isinstance(beyond, Counterexample):
        findings.note(
            "gateway-more",
            f"its own identity may do more than open sessions of Remit's roles: {told(beyond)}",
            why="it needs nothing else of AWS, unless something else runs as it",
            mend="take away what nothing needs",
        )


def is_canary_policy(policy: LivePolicy | None) -> bool:
    """Says whether a policy allows a canary's call and nothing else, and so need not stand in a ceiling."""
    if policy is None:
        return False
    try:
        found = Document.parse(policy.text, authored=True)
    except MalformedPolicy:
        return False
    wide = contains(found, document_of(statements_of(canary_rights())), budget=_PATIENCE)
    return not isinstance(wide, Counterexample | Undecided)


def told(found: Counterexample) -> str:
    """Returns a counterexample in a line."""
    where = f" where {', '.join(f'{name} {value}' for name, value in found.context)}" if found.context else ""
    return f"{found.action} on {found.resource}{where}"


def _is_allowed(document: Document, action: str, resource: str) -> bool:
    return isinstance(evaluate(Policies(identity=(document,)), Request(action, resource, {})), Allowed)
