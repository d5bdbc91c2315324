"""Platforms by their names in a settings file, and by what can be seen of them from inside a process."""

import ipaddress
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from remit.workload import platforms, reading
from remit.workload.failing import NoWorkloadIdentity
from remit.workload.spiffe import SpiffeX509, spiffe_jwt, spiffe_x509
from remit.workload.token import WorkloadToken

FORMS = (
    "github, gitlab, gitlab:NAME, kubernetes, kubernetes:/path, gitpod, aws, spiffe, file:/path, env:NAME or detect; "
    "those that ask for a token take its audience, as in github:https://remit.acme.example"
)
SPIFFE_SOCKET = "SPIFFE_ENDPOINT_SOCKET"
VARIABLES = (*platforms.GITHUB_VARIABLES, "GITLAB_CI", reading.GITLAB_VARIABLE, SPIFFE_SOCKET)
"""What says whose token a process may have: one that asks for another's token has to read that other's."""


def token_source(text: str, *, audience: str | None = None, environ: Mapping[str, str] = os.environ) -> WorkloadToken:
    """Returns the source that a text names, such as `github:https://remit.acme.example` or `file:/run/agent/token`.

    `audience` is for a text that gives none, where the platform is asked for a token (github, gitpod, aws, spiffe,
    detect); the others' tokens have theirs already. `environ` holds the variables of another process, where the token
    is that one's: those of `VARIABLES` are read, and the one of `gitlab:NAME` and `env:NAME`. What AWS, Gitpod and a
    SPIFFE agent say is of this process in any case. Raises ValueError for a text that names none, and
    NoWorkloadIdentity where `detect` finds none.
    """
    kind, _, rest = text.strip().partition(":")
    if kind in _PLACE:
        source, usual = _PLACE[kind]
        found = rest or usual
        if not found:
            raise ValueError(f"say where the token is: {kind}:{'/path' if kind == 'file' else 'NAME'}")
        return source(found, environ)
    if kind not in _AUDIENCE:
        # NOTE: without the text: it may be a token that was put where the name of its source belongs.
        raise ValueError(f"this names no source of tokens; there are: {FORMS}")
    wanted = rest or audience
    if not wanted:
        raise ValueError(f"{kind} needs an audience, the one that the gateway has for this issuer: {kind}:AUDIENCE")
    return _AUDIENCE[kind](wanted, environ)


def certificate_source(text: str, *, environ: Mapping[str, str] = os.environ) -> SpiffeX509:
    """Returns the X509-SVID that a text names: `spiffe`, or `spiffe:` and the agent's socket; raises ValueError."""
    kind, _, socket = text.strip().partition(":")
    if kind != "spiffe":
        raise ValueError("this names no source of certificates; there are: spiffe, spiffe:unix:///path/to/agent.sock")
    return spiffe_x509(socket=socket or environ.get(SPIFFE_SOCKET))


def detect(audience: str, *, environ: Mapping[str, str] = os.environ) -> WorkloadToken:
    """Returns the source of the platform that this process runs on; looks at variables and files only.

    Raises NoWorkloadIdentity when it finds none, or more than one: a guess might name another agent than is meant.
    """
    seen = {name: sign for name, look in _SIGNS.items() if (sign := look(environ)) is not None}
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
    return token_source(next(iter(seen)), audience=audience, environ=environ)


def _github(environ: Mapping[str, str]) -> str | None:
    return _first(environ, "ACTIONS_ID_TOKEN_REQUEST_URL") or _first(environ, "GITHUB_ACTIONS")


def _gitlab(environ: Mapping[str, str]) -> str | None:
    return _first(environ, "GITLAB_CI") or _first(environ, reading.GITLAB_VARIABLE)


def _kubernetes(_: Mapping[str, str]) -> str | None:
    return reading.KUBERNETES_FILE if Path(reading.KUBERNETES_FILE).exists() else None


def _gitpod(environ: Mapping[str, str]) -> str | None:
    return _first(environ, "GITPOD_ENVIRONMENT_ID", "GITPOD_WORKSPACE_ID")


def _aws(environ: Mapping[str, str]) -> str | None:
    """Sees Lambda, ECS and EKS. A bare EC2 machine could only be seen by asking the network, which is not done."""
    found = _first(
        environ, "AWS_LAMBDA_FUNCTION_NAME", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "ECS_CONTAINER_METADATA_URI_V4",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    )  # fmt: skip
    # NOTE: on loopback it is no platform's, but Remit's own endpoint for the program that `remit run` started.
    full = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
    return found or (full if environ.get(full) and not _is_loopback(environ[full]) else None)


def _is_loopback(url: str) -> bool:
    """Says whether an address is on this machine; one that cannot be read counts as that, too."""
    with suppress(ValueError):
        host = urlsplit(url).hostname or "localhost"
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    return True


def _first(environ: Mapping[str, str], *names: str) -> str | None:
    """Returns the first of these variables that says something."""
    return next((name for name in names if environ.get(name)), None)


_SIGNS: dict[str, Callable[[Mapping[str, str]], str | None]] = {
    "github": _github,
    "gitlab": _gitlab,
    "kubernetes": _kubernetes,
    "gitpod": _gitpod,
    "aws": _aws,
    "spiffe": lambda environ: _first(environ, SPIFFE_SOCKET),
}
_LOOKED_FOR = (
    f"ACTIONS_ID_TOKEN_REQUEST_URL (github), GITLAB_CI (gitlab), {reading.KUBERNETES_FILE} (kubernetes), "
    f"GITPOD_ENVIRONMENT_ID and GITPOD_WORKSPACE_ID (gitpod), variables of Lambda, ECS and EKS (aws), "
    f"{SPIFFE_SOCKET} (spiffe)"
)
_PLACE: dict[str, tuple[Callable[[str, Mapping[str, str]], WorkloadToken], str | None]] = {
    "gitlab": (lambda name, environ: platforms.gitlab(name, environ=environ), reading.GITLAB_VARIABLE),
    "kubernetes": (lambda path, _: platforms.kubernetes(path), reading.KUBERNETES_FILE),
    "file": (lambda path, _: platforms.file(path), None),
    "env": (lambda name, environ: platforms.env(name, environ=environ), None),
}
_AUDIENCE: dict[str, Callable[[str, Mapping[str, str]], WorkloadToken]] = {
    "github": lambda audience, environ: platforms.github(audience, environ=environ),
    "gitpod": lambda audience, _: platforms.gitpod(audience),
    "aws": lambda audience, _: platforms.aws(audience),
    "spiffe": lambda audience, environ: spiffe_jwt(audience, socket=environ.get(SPIFFE_SOCKET)),
    "detect": lambda audience, environ: detect(audience, environ=environ),
}
