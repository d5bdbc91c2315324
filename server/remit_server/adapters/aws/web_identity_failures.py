"""What AWS's refusal of an AssumeRoleWithWebIdentity call means, in words that an operator can act on."""

from typing import Final

from remit_server.adapters.aws.sts_failures import OPERATOR, Failure, Kind, common, refused

_NOT_FETCHED: Final = (
    "AWS could not fetch the keys of this gateway's issuer. The documents below issuer.url must be reachable from the "
    "internet over HTTPS, with a certificate of an authority that everybody knows: the gateway's HTTP listener, or the "
    "files of remit-server issuer export on a web server. Ask again in a few seconds."
)
_MESSAGES: Final = {
    "InvalidIdentityToken": (
        "AWS cannot verify the gateway's token. Mostly the role's account has no OIDC provider for issuer.url with the "
        "audience sts.amazonaws.com, or the key that signs is not among the published keys: after a rotation the "
        f"exported files must be published anew, and a key 24 hours before it signs. {OPERATOR}"
    ),
    "IDPRejectedClaim": (
        "AWS refuses what the gateway's token claims. Mostly issuer.url is not what the account's OIDC provider was "
        f"made for, or the provider's audience is not sts.amazonaws.com. {OPERATOR}"
    ),
    "ExpiredToken": (
        "AWS calls the gateway's token expired, though it was signed for this call and lives for a minute: the "
        f"gateway's clock is wrong. {OPERATOR}"
    ),
    "AccessDenied": (
        "AWS does not let the gateway assume this role. The role's trust policy must allow the account's OIDC provider "
        "of issuer.url sts:AssumeRoleWithWebIdentity, sts:TagSession and sts:SetSourceIdentity, with the audience "
        "sts.amazonaws.com and the subject remit:role/<account>/<name of the role>; remit-server config check prints "
        f"it. {OPERATOR}"
    ),
    "ValidationError": (
        "AWS refused a value of the call. Mostly max_session_seconds in the configuration is longer than the role's "
        f"MaxSessionDuration at AWS. {OPERATOR}"
    ),
}


def web_identity_refused(status: int, code: str | None) -> Failure:
    """Returns what an answer other than 200 means; `code` is None when its body was no error of STS."""
    return refused(status, code, meaning=_meaning)


def _meaning(label: str, code: str) -> Failure:
    """Returns what a 4xx in STS's own words means; nothing was made."""
    if code in {"IDPCommunicationError", "IDPCommunicationErrorException"}:
        # STS API reference: "You can retry the request a limited number of times".
        return Failure(Kind.BROKEN, label, _NOT_FETCHED, credentials_may_exist=False, retry=True)
    return common(label, code, _MESSAGES)
