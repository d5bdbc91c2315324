"""Kubernetes' projected service account tokens.

https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#schema-for-service-account-private-claims
and the code it names, pkg/serviceaccount/claims.go. Tokens of Secrets (no `exp`, flat `kubernetes.io/...` claims) never
end and are refused.
"""

from collections.abc import Mapping
from typing import Any, Final

from remit_server.adapters.identity.claim_profiles.profile import Profile, Rebuilt, never_client
from remit_server.adapters.identity.claim_values import optional_seconds
from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.config.identity_profiles import is_dns_label, is_dns_name
from remit_server.config.identity_rules import is_plain_text
from remit_server.config.settings import IssuerSettings

_PRIVATE: Final = "kubernetes.io"
_LEGACY: Final = "kubernetes.io/serviceaccount/"
_BOUND_TO: Final = ("pod", "node", "secret")
_KNOWN: Final = frozenset({"namespace", "serviceaccount", "warnafter", *_BOUND_TO})


def _check_kubernetes(settings: IssuerSettings, claims: Mapping[str, Any]) -> None:
    """Accepts tokens whose subject is the service account that their private claims name."""
    del settings
    if any(name.startswith(_LEGACY) for name in claims):
        raise TokenRefused(
            "the claim `kubernetes.io/serviceaccount/...` marks the token of a Secret, which never ends: mount a "
            "projected token (serviceAccountToken) with this gateway's audience"
        )
    private = _private_claims(claims)
    expected = f"system:serviceaccount:{private['namespace']}:{private['serviceaccount']['name']}"
    if claims["sub"] != expected:
        raise TokenRefused("the claims `sub` and `kubernetes.io` name two service accounts")
    if "warnafter" in claims[_PRIVATE]:
        optional_seconds(claims[_PRIVATE], "warnafter")


def _private_claims(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the namespace, the service account and what the token is bound to, each checked and nothing else."""
    private = claims.get(_PRIVATE)
    if not isinstance(private, dict):
        raise TokenRefused(f"the claim `{_PRIVATE}` must be there, as an object")
    namespace = private.get("namespace")
    if not isinstance(namespace, str) or not is_dns_label(namespace):
        raise TokenRefused(f"the claim `{_PRIVATE}.namespace` must be there, as the name of a namespace")
    bound_to = {name: _reference(private, name) for name in ("serviceaccount", *_BOUND_TO) if name in private}
    if "uid" not in bound_to.get("serviceaccount", {}):
        raise TokenRefused(f"the claim `{_PRIVATE}.serviceaccount` must be there, with a name and a uid")
    return {"namespace": namespace, **bound_to}


def _reference(private: Mapping[str, Any], name: str) -> dict[str, str]:
    """Returns the name of an object of the cluster, and its uid where it has one: nodes may lack theirs."""
    value = private[name]
    if not isinstance(value, dict) or not {"name"} <= value.keys() <= {"name", "uid"}:
        raise TokenRefused(f"the claim `{_PRIVATE}.{name}` must have a name, maybe a uid, and nothing else")
    if not isinstance(value["name"], str) or not is_dns_name(value["name"]):
        raise TokenRefused(f"the claim `{_PRIVATE}.{name}.name` must be the name of an object of Kubernetes")
    if "uid" in value and not (isinstance(value["uid"], str) and is_plain_text(value["uid"])):
        raise TokenRefused(f"the claim `{_PRIVATE}.{name}.uid` must be 1 to 255 printable ASCII characters")
    return dict(value)


def _kubernetes_groups(settings: IssuerSettings, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the groups that Kubernetes itself gives a service account."""
    del settings
    return ("system:serviceaccounts", f"system:serviceaccounts:{_private_claims(claims)['namespace']}")


def _rebuilt_private_claims(claims: Mapping[str, Any]) -> Rebuilt:
    """Returns what was checked of the private claims, and the names of those that are not known here."""
    unknown = sorted(name for name in claims[_PRIVATE].keys() - _KNOWN)
    return Rebuilt({_PRIVATE: _private_claims(claims)}, tuple(f"{_PRIVATE}.{name}" for name in unknown))


KUBERNETES: Final = Profile(
    check=_check_kubernetes,
    groups=_kubernetes_groups,
    email=None,
    is_client=never_client,
    dropped=frozenset({_PRIVATE}),
    rebuild=_rebuilt_private_claims,
)
