"""GitHub Actions: a job asks the runner's token endpoint (docs.github.com, "OpenID Connect reference")."""

from collections.abc import Mapping
from urllib.parse import quote

from remit.workload.failing import NoWorkloadIdentity
from remit.workload.web import Answer, ask_web

URL, TOKEN = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
PERMISSION = (
    "give the job `permissions: id-token: write` (with `contents: read` for the checkout), in a workflow that is not "
    "started by a pull request from a fork: GitHub gives those no tokens"
)


def fetch(audience: str, environ: Mapping[str, str]) -> str:
    """Asks GitHub for a token with this audience; raises NoWorkloadIdentity."""
    url, secret = environ.get(URL, ""), environ.get(TOKEN, "")
    if not url or not secret:
        told = f"{URL if not url else TOKEN} is not set"
        if not environ.get("GITHUB_ACTIONS"):
            raise NoWorkloadIdentity(f"this is no job of GitHub Actions: {told}", advice="run it in a workflow")
        raise NoWorkloadIdentity(f"GitHub gives this job no tokens: {told}", advice=PERMISSION)
    separator = "&" if "?" in url else "?"
    answer = ask_web(
        f"{url}{separator}audience={quote(audience, safe='')}",
        {"Authorization": f"bearer {secret}", "Accept": "application/json; api-version=2.0"},
        "GitHub's token endpoint",
    )
    return _token(answer)


def _token(answer: Answer) -> str:
    """Reads the endpoint's answer."""
    if answer.status in {401, 403}:
        raise NoWorkloadIdentity(f"GitHub's token endpoint answered {answer.status}", advice=PERMISSION)
    value = answer.member("value")
    if value is None:
        raise NoWorkloadIdentity(
            f"GitHub's token endpoint answered {answer.status} without a token",
            advice="look at githubstatus.com, and run the job again",
        )
    return value
