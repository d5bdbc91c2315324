"""Compares the accounts of a configuration with what they hold, and says what is missing, wrong or too wide."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from remit_server.adapters.aws.revoking.canary import MOST_CANDIDATES
from remit_server.adapters.aws.revoking.revoker import AccountPlace
from remit_server.adapters.aws.setup.findings import Finding, Findings
from remit_server.adapters.aws.setup.live import CannotSee, LiveAccount, LivePrincipal
from remit_server.adapters.aws.setup.plan import CANARY_POLICY
from remit_server.adapters.aws.setup.right_checks import (
    check_attached,
    check_canary,
    check_ceiling,
    check_gateway,
    check_longest_session,
    check_policy,
    check_revoker,
    is_canary_policy,
)
from remit_server.adapters.aws.setup.trust_checks import PLAN, Trusted, check_trust, revoker_trusted
from remit_server.adapters.aws.web_identity_token import AUDIENCE
from remit_server.domain.entitlement import Role

_NOT_SEEN: Final = "what cannot be seen cannot be called right"
_SEE: Final = (
    "give credentials that may read IAM of this account: --profile NAME, with the AWS managed policy IAMReadOnlyAccess"
)


@dataclass(frozen=True, slots=True)
class Examined:
    """What the doctor goes by: the roles, whether revocation is configured, and the gateway's own ARN where known.

    `mark` is that of the configured ledger; None where it cannot be read.
    """

    roles: Sequence[Role]
    places: Mapping[str, AccountPlace]
    revocation: bool
    gateway: str | None
    web_identity: Mapping[str, tuple[str, str]]
    mark: str | None = None


def examine(examined: Examined, accounts: Mapping[str, LiveAccount]) -> list[Finding]:
    """Returns everything that was found, by account; an account that nobody gave credentials for is a fault."""
    found: list[Finding] = []
    for number in sorted(examined.places):
        place = Findings(f"AWS account {number}")
        account = accounts.get(number)
        if account is None:
            place.fault("account-not-seen", "no credentials of this account were given", why=_NOT_SEEN, mend=_SEE)
            found += place
            continue
        found += _examine_account(examined, examined.places[number], account)
    return found + list(_gateway(examined, accounts))


def _examine_account(examined: Examined, place: AccountPlace, account: LiveAccount) -> Iterator[Finding]:
    roles = [role for role in examined.roles if role.account == place.account]
    lives = []
    left_out = frozenset({*place.policy_arns, *_canary_policies(place, account)})
    for role in roles:
        findings = Findings(role.arn)
        live = _seen(findings, partial(account.role, role.name), role.arn)
        if live is not None:
            lives.append(live)
            _examine_role(examined, role, live, findings)
            check_ceiling(role, live, left_out, findings)
            if examined.revocation:
                check_attached(live, place.policy_arns, findings)
        yield from findings
    yield from _provider(examined, place, account)
    if examined.revocation:
        yield from _examine_revocation(examined, place, account, lives)


def _provider(examined: Examined, place: AccountPlace, account: LiveAccount) -> Iterator[Finding]:
    """Notes an OIDC provider of the gateway's own issuer that is missing, or not for AWS."""
    hosts = {host for arn, (_, host) in examined.web_identity.items() if arn.split(":")[4] == place.account}
    for host in sorted(hosts):
        findings = Findings(f"arn:{place.partition}:iam::{place.account}:oidc-provider/{host}")
        try:
            audiences = account.provider(findings.place)
        except CannotSee as unseen:
            _not_seen(findings, unseen)
            audiences = (AUDIENCE,)
        if audiences is None or AUDIENCE not in audiences:
            what = "it does not exist" if audiences is None else f"{AUDIENCE} is not among its audiences"
            findings.fault("issuer-missing", what, why="AWS takes no token of the gateway's", mend=PLAN)
        yield from findings


def _examine_role(examined: Examined, role: Role, live: LivePrincipal, findings: Findings) -> None:
    """Holds whom one role trusts, and for how long, to its configuration."""
    web_identity = examined.web_identity.get(role.arn)
    check_trust(live, Trusted(examined.gateway, external_id=role.external_id, web_identity=web_identity), findings)
    check_longest_session(role, live, findings)


def _examine_revocation(
    examined: Examined, place: AccountPlace, account: LiveAccount, lives: Sequence[LivePrincipal]
) -> Iterator[Finding]:
    """Holds the policies, remit-revoker and the canary's right to what revocation needs."""
    for arn in place.policy_arns:
        findings = Findings(arn)
        try:
            check_policy(account.policy(arn), examined.mark, findings)
        except CannotSee as unseen:
            _not_seen(findings, unseen)
        yield from findings
    findings = Findings(place.revoker.arn)
    live = _seen(findings, partial(account.role, place.revoker.name), place.revoker.arn)
    if live is not None:
        web_identity = examined.web_identity.get(place.revoker.arn)
        expected = revoker_trusted(examined.gateway)
        check_trust(live, expected if web_identity is None else _by_token(expected, web_identity), findings)
        check_revoker(live, place.policy_arns, findings)
    yield from findings
    findings = Findings(f"AWS account {place.account}")
    check_canary(lives[:MOST_CANDIDATES], findings)
    yield from findings


def _by_token(expected: Trusted, web_identity: tuple[str, str]) -> Trusted:
    return Trusted(expected.gateway, expected.actions, tags=False, web_identity=web_identity)


def _gateway(examined: Examined, accounts: Mapping[str, LiveAccount]) -> Iterator[Finding]:
    """Holds the gateway's own identity to its least rights, where it is known and can be seen."""
    arn = examined.gateway
    if arn is None:
        return
    findings = Findings(arn)
    account = accounts.get(arn.split(":")[4])
    name = arn.rpartition("/")[2]
    if account is None or (":user/" not in arn and ":role/" not in arn):
        what = "the gateway's own identity was not examined"
        findings.note("gateway-not-seen", what, why=_NOT_SEEN, mend=_SEE)
        yield from findings
        return
    live = _seen(findings, partial(account.user if ":user/" in arn else account.role, name), arn)
    if live is not None:
        own = [role.arn for role in examined.roles if role.arn not in examined.web_identity]
        revokers = [place.revoker.arn for place in examined.places.values()] if examined.revocation else []
        check_gateway(live, own, [each for each in revokers if each not in examined.web_identity], findings)
    yield from findings


def _seen(findings: Findings, look: Callable[[], LivePrincipal | None], arn: str) -> LivePrincipal | None:
    """Returns the principal, or None after noting that it is not there, is another one, or cannot be seen."""
    try:
        live = look()
    except CannotSee as unseen:
        _not_seen(findings, unseen)
        return None
    if live is None:
        findings.fault("missing", "it does not exist", why="nothing can be issued or revoked by it", mend=PLAN)
    elif live.arn != arn:
        what, why = f"the one of that name is {live.arn}", "AWS refuses the ARN of the configuration"
        findings.fault("another-path", what, why=why, mend="write the ARN as it is, with its path")
    return live


def _not_seen(findings: Findings, unseen: CannotSee) -> None:
    findings.fault("not-seen", f"IAM does not show it: {unseen}", why=_NOT_SEEN, mend=_SEE)


def _canary_policies(place: AccountPlace, account: LiveAccount) -> list[str]:
    """Returns the ARN of the canary's policy if it is one."""
    arn = f"arn:{place.partition}:iam::{place.account}:policy/{CANARY_POLICY}"
    try:
        return [arn] if is_canary_policy(account.policy(arn)) else []
    except CannotSee:
        return []
