"""The platforms whose tokens a workload can have, each as a function that makes its source."""

import hashlib
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from remit.workload import reading
from remit.workload.token import WorkloadToken

_KUBELET = (
    "mount a projected serviceAccountToken with the gateway's audience (docs/workload-identity/kubernetes.md): the "
    "token that every pod has is for the API server"
)
GITHUB_VARIABLES = ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITHUB_ACTIONS")
_STUCK = "whoever writes the file has stopped to renew it; if it is new, the clock of this machine is wrong"


def github(audience: str, *, reuse: bool = False, environ: Mapping[str, str] = os.environ) -> WorkloadToken:
    """Returns the source of this GitHub Actions job's token.

    Every call to the gateway gets a token of its own: where its issuer entry says `single_use`, a token opens one task.
    `reuse` keeps each until near its end instead, for gateways that do not say so. The job needs the permission
    `id-token: write`.
    """
    from remit.workload.github_actions import fetch  # noqa: PLC0415 - what reads the web is loaded when it is needed

    given = _given(audience=audience) | _of(environ, GITHUB_VARIABLES)
    return WorkloadToken("github", given, partial(fetch, audience, environ), keeps=reuse)


def gitlab(name: str = reading.GITLAB_VARIABLE, *, environ: Mapping[str, str] = os.environ) -> WorkloadToken:
    """Returns the source of this GitLab job's token, which `id_tokens` of its `.gitlab-ci.yml` put into a variable.

    GitLab makes it once, when the job starts: it cannot be renewed, and ends with the job's timeout.
    """
    fetch = partial(
        reading.read_variable,
        name,
        environ,
        mend=f"add `id_tokens: {{{name}: {{aud: AUDIENCE}}}}` to the job in .gitlab-ci.yml",
        stale="GitLab gives a job its token once: start the job again, or give it a longer timeout",
    )
    return WorkloadToken("gitlab", _given(name=name) | _of(environ, (name,)), fetch, keeps=False, waits=False)


def kubernetes(path: str | Path = reading.KUBERNETES_FILE) -> WorkloadToken:
    """Returns the source of this pod's projected service account token, which the kubelet renews; read at each call."""
    fetch = partial(reading.read_file, Path(path), mend=_KUBELET, stale=_STUCK)
    return WorkloadToken("kubernetes", _given(path=str(path)), fetch, keeps=False, waits=False)


def gitpod(audience: str) -> WorkloadToken:
    """Returns the source of this Gitpod or Ona environment's token, from `ona`, `gitpod` or `gp` on the PATH."""
    from remit.workload.gitpod_command import fetch  # noqa: PLC0415 - what starts programs is loaded when it is needed

    return WorkloadToken("gitpod", _given(audience=audience), partial(fetch, audience), keeps=True)


def aws(audience: str, *, region: str | None = None) -> WorkloadToken:
    """Returns the source of what STS says of this process's role of AWS, to others (GetWebIdentityToken).

    Needs botocore (`pip install 'remit[boto3]'`), the permission sts:GetWebIdentityToken, and a region, of which only
    the regional endpoints know this action: `region`, or the one that AWS's SDK finds.
    """
    from remit.workload.aws_sts import fetch  # noqa: PLC0415 - loaded when it is needed

    given = _given(audience=audience) | ({} if region is None else {"region": region})
    return WorkloadToken("aws", given, partial(fetch, audience, region), keeps=True)


def file(path: str | Path) -> WorkloadToken:
    """Returns the source of a token in a file that something else keeps fresh; read at each call."""
    fetch = partial(reading.read_file, Path(path), mend="have the token written there, readable here", stale=_STUCK)
    return WorkloadToken("file", _given(path=str(path)), fetch, keeps=False, waits=False)


def env(name: str, *, environ: Mapping[str, str] = os.environ) -> WorkloadToken:
    """Returns the source of a token in a variable of this process; read at each call."""
    stale = "whoever starts this process has to give it a new one"
    fetch = partial(
        reading.read_variable, name, environ, mend=f"start this process with the token in {name}", stale=stale
    )
    return WorkloadToken("env", _given(name=name) | _of(environ, (name,)), fetch, keeps=False, waits=False)


def _of(environ: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """Returns what tells sources apart that read other variables than this process's own; none of their values."""
    if environ is os.environ:
        return {}
    values = "\0".join(f"{name}={environ.get(name, '')}" for name in names)
    return {"environ": hashlib.sha256(values.encode()).hexdigest()[:32]}


def _given(**parameters: str) -> dict[str, str]:
    """Returns the parameters; raises ValueError for one that is empty."""
    for name, value in parameters.items():
        if not value.strip():
            raise ValueError(f"{name} must say something: for an audience, the one that the gateway has for the issuer")
    return parameters
