"""Comments files of Markdown on a pull request (GitHub) or a merge request (GitLab): one comment, updated in place.

    python comment.py github remit-policy diff.md replay.md
    python comment.py gitlab remit-policy diff.md replay.md

Needs Python and nothing else. The first comment carries a hidden mark; the next run changes that one, if this account
wrote it: a mark in somebody else's comment is theirs. The token comes from the environment, goes to the API only and
is never printed; nor is what the API answers.
"""

import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_CHARACTERS = 65_000  # of GitHub's 65,536
MAX_PAGES = 20
HOSTS = ("github", "gitlab")
LEAST_ARGUMENTS = 3  # the host, the mark, a file
SECONDS = 30
_MARK = re.compile(r"[a-z0-9-]{1,40}")
_NUMBER = re.compile(r"[0-9]{1,12}")
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")


class Failed(Exception):  # noqa: N818 - named for what it says
    """The comment could not be written; the sentence is for the job's log."""


@dataclass(frozen=True)
class Place:
    """Where comments of one change are: the list, one of them, whose they are, and how to ask."""

    listed: str
    one: str
    author: str
    headers: Mapping[str, str]
    update: str


def main(arguments: list[str]) -> int:
    """Writes the comment; 0 done, 2 it could not be."""
    if len(arguments) < LEAST_ARGUMENTS or arguments[0] not in HOSTS:
        sys.stderr.write("usage: python comment.py github|gitlab MARK FILE...\n")
        return 2
    try:
        host, name, first, *more = arguments
        mark = f"<!-- {_whole(_MARK, name, 'the mark')} -->"
        place = {"github": github, "gitlab": gitlab}[host](os.environ)
        comment(place, mark, body(mark, [Path(file) for file in (first, *more)]))
    except KeyError as missing:
        sys.stderr.write(f"not commented: {missing} is missing; see the top of comment.py\n")
    except (Failed, OSError, ValueError) as failed:
        sys.stderr.write(f"not commented: {failed}\n")
    else:
        return 0
    return 2


def github(environment: Mapping[str, str]) -> Place:
    """Returns the pull request that a workflow runs for."""
    repository = _whole(_REPOSITORY, environment["GITHUB_REPOSITORY"], "GITHUB_REPOSITORY")
    number = _whole(_NUMBER, environment["PULL_REQUEST"], "PULL_REQUEST")
    base = f"{_api(environment['GITHUB_API_URL'])}/repos/{repository}/issues"
    headers = {
        "Authorization": f"Bearer {environment['GITHUB_TOKEN']}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    author = environment.get("COMMENT_AUTHOR", "github-actions[bot]")
    return Place(f"{base}/{number}/comments", f"{base}/comments", author, headers, "PATCH")


def gitlab(environment: Mapping[str, str]) -> Place:
    """Returns the merge request that a pipeline runs for; a job's own token may not comment, so it has one for that."""
    project = _whole(_NUMBER, environment["CI_PROJECT_ID"], "CI_PROJECT_ID")
    number = _whole(_NUMBER, environment["CI_MERGE_REQUEST_IID"], "CI_MERGE_REQUEST_IID")
    api = _api(environment["CI_API_V4_URL"])
    headers = {"PRIVATE-TOKEN": environment["REMIT_NOTES_TOKEN"]}
    notes = f"{api}/projects/{project}/merge_requests/{number}/notes"
    author = str(call(f"{api}/user", headers)["username"])
    return Place(notes, notes, author, headers, "PUT")


def body(mark: str, files: list[Path]) -> str:
    """Returns what to comment: the mark, then the files, each a fair part of what a comment takes."""
    room = MAX_CHARACTERS // len(files) - 200
    parts = []
    for file in files:
        text = file.read_text(encoding="utf-8")
        # NOTE: what is cut may stand in a fence, so the fence of the longest run is closed after it.
        fence = max(re.findall(r"`{3,}", text), key=len, default="```")
        parts.append(text if len(text) <= room else f"{text[:room]}\n{fence}\n\nCut: see the job's log.\n")
    return "\n".join([mark, *parts])


def comment(place: Place, mark: str, text: str) -> None:
    """Changes the comment that carries the mark and is this account's own, or writes the first one."""
    for one in _comments(place):
        author = one.get("user") or one.get("author") or {}
        name = author.get("login") or author.get("username")
        if name == place.author and str(one.get("body", "")).startswith(mark):
            call(f"{place.one}/{int(one['id'])}", place.headers, place.update, {"body": text})
            return
    call(place.listed, place.headers, "POST", {"body": text})


def _comments(place: Place) -> Iterator[Mapping[str, Any]]:
    """Yields the comments, page by page."""
    for page in range(1, MAX_PAGES + 1):
        listed = call(f"{place.listed}?per_page=100&page={page}", place.headers)
        if not isinstance(listed, list) or not listed:
            return
        yield from listed


def call(url: str, headers: Mapping[str, str], method: str = "GET", content: object = None) -> Any:
    """Returns what the API answers; raises Failed with the status alone."""
    request = urllib.request.Request(url, method=method, headers=dict(headers))  # noqa: S310 - https, see _api
    if content is not None:
        request.data = json.dumps(content).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with _OPENER.open(request, timeout=SECONDS) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        raise Failed(f"the API answered {method} with {refused.code}: may this token write comments?") from None
    except (OSError, ValueError) as wrong:
        raise Failed(f"the API gave no answer to {method} ({type(wrong).__name__})") from None


class _Nowhere(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the token would go along."""

    def redirect_request(self, *_arguments: object) -> None:
        """Returns no further request."""


_OPENER = urllib.request.build_opener(_Nowhere)


def _api(url: str) -> str:
    """Returns the API's address; one without TLS only on this machine."""
    if not url.startswith(("https://", "http://127.0.0.1:")):
        raise Failed("the API's address is not https")
    return url.rstrip("/")


def _whole(pattern: re.Pattern[str], value: str, name: str) -> str:
    """Returns a value of the environment that looks as it should; it becomes part of an address."""
    if not pattern.fullmatch(value):
        raise Failed(f"{name} is not what it should be")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
