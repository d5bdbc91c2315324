"""Platforms by their names in a settings file, and by what can be seen of them from inside a process."""

import ipaddress
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from remit.workload import platforms, reading
from remit.workload.failing import NoWorkloadIdentity
from remit.workload.spiffe import spiffe_jwt
from remit.workload.token import WorkloadToken

FORMS = (
    "github, gitlab, gitlab:NAME, kubernetes, kubernetes:/path, gitpod, aws, spiffe, file:/path, env:NAME or detect; "
    "those that ask for a token take its audience, as in github:https://remit.acme.example"
)
SPIFFE_SOCKET = "SPIFFE_ENDPOINT_SOCKET"
_PLACE: dict[str, tuple[Callable[[str], WorkloadToken], str | None]] = {
    "gitlab": (platforms.gitlab, reading.GITLAB_VARIABLE),
    "kubernetes": (platforms.kubernetes, reading.KUBERNETES_FILE),
    "file": (platforms.file, None),
    "env": (platforms.env, None),
}


def token_source(text: str, *, audience: str | None = None) -> WorkloadToken:
    """Returns the source that a text names, such as `github:https://remit.acme.example` or `file:/run/agent/token`.

    `audience` is for a text that gives none, where the platform is asked for a token (github, gitpod, aws, spiffe,
    detect); the others' tokens have theirs already. Raises ValueError for a text that names none, and
    NoWorkloadIdentity where `detect` finds none.
    """
    kind, _, rest = text.strip().partition(":")
    if kind in _PLACE:
        source, usual = _PLACE[kind]
        found = rest or usual
        if not found:
            raise ValueError(f"say where the token is: {kind}:{'/path' if kind == 'file' else 'NAME'}")
        return source(found)
    if kind not in _AUDIENCE:
        # NOTE: without the text: it may be a token that was put where the name of its source belongs.
        raise ValueError(f"this names no source of tokens; there are: {FORMS}")
    wanted = rest or audience
    if not wanted:
        raise ValueError(f"{kind} needs an audience, the one that the gateway has for this issuer: {kind}:AUDIENCE")
    return _AUDIENCE[kind](wanted)


def detect(audience: str) -> WorkloadToken:
    """Returns the source of the platform that this process runs on; looks at variables and files only.

    Raises NoWorkloadIdentity when it finds none, or more than one: a guess might name another agent than is meant.
    """
    seen = {name: sign for name, look in _SIGNS.items() if (sign := look()) is not None}
    if not seen:
        raise NoWorkloadIdentity(
            f"no platform that gives tokens was found; looked for {_LOOKED_FOR}",
            advice=f"name the source: {FORMS}",
            reason="WORKLOAD_NOT_FOUND",
        )
    if len(seen) > 1:
        told = "; ".join(f"{name} ({sign})" for name, sign in seen.items())
        raise NoWorkloadIdentity(
            f"more than one platform gives tokens here: {told}",
            advice=f"name the one that the gateway knows this agent by: {', '.join(seen)}",
            reason="WORKLOAD_AMBIGUOUS",
        )
    return token_source(next(iter(seen)), audience=audience)


def _github() -> str | None:
    return _first("ACTIONS_ID_TOKEN_REQUEST_URL") or _first("GITHUB_ACTIONS")


def _gitlab() -> str | None:
    return _first("GITLAB_CI") or _first(reading.GITLAB_VARIABLE)


def _kubernetes() -> str | None:
    return reading.KUBERNETES_FILE if Path(reading.KUBERNETES_FILE).exists() else None


def _gitpod() -> str | None:
    return _first("GITPOD_ENVIRONMENT_ID", "GITPOD_WORKSPACE_ID")


def _aws() -> str | None:
    """Sees Lambda, ECS and EKS. A bare EC2 machine could only be seen by asking the network, which is not done."""
    found = _first(
        "AWS_LAMBDA_FUNCTION_NAME", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "ECS_CONTAINER_METADATA_URI_V4",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    )  # fmt: skip
    # NOTE: on loopback it is no platform's, but Remit's own endpoint for the program that `remit run` started.
    full = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
    return found or (full if os.environ.get(full) and not _is_loopback(os.environ[full]) else None)


def _is_loopback(url: str) -> bool:
    """Says whether an address is on this machine; one that cannot be read counts as that, too."""
    with suppress(ValueError):
        host = urlsplit(url).hostname or "localhost"
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    return True


def _first(*names: str) -> str | None:
    """Returns the first of these variables that says something."""
    return next((name for name in names if os.environ.get(name)), None)


_SIGNS: dict[str, Callable[[], str | None]] = {
    "github": _github,
    "gitlab": _gitlab,
    "kubernetes": _kubernetes,
    "gitpod": _gitpod,
    "aws": _aws,
    "spiffe": lambda: _first(SPIFFE_SOCKET),
}
_LOOKED_FOR = (
    f"ACTIONS_ID_TOKEN_REQUEST_URL (github), GITLAB_CI (gitlab), {reading.KUBERNETES_FILE} (kubernetes), "
    f"GITPOD_ENVIRONMENT_ID and GITPOD_WORKSPACE_ID (gitpod), variables of Lambda, ECS and EKS (aws), "
    f"{SPIFFE_SOCKET} (spiffe)"
)
_AUDIENCE: dict[str, Callable[[str], WorkloadToken]] = {
    "github": platforms.github,
    "gitpod": platforms.gitpod,
    "aws": platforms.aws,
    "spiffe": spiffe_jwt,
    "detect": detect,
}
