"""Writes this job's OIDC token, for the audience that operators of the gateway have, into a file only this user reads.

    python operator_token.py AUDIENCE FILE

The job needs `permissions: id-token: write`. The token is masked in the log before anything else happens to it.
"""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

SECONDS = 30


def main(arguments: list[str]) -> int:
    """Fetches and writes the token; 0 done, 2 it could not be had."""
    try:
        audience, path = arguments
        base, bearer = os.environ["ACTIONS_ID_TOKEN_REQUEST_URL"], os.environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
        token = _token(base, bearer, audience)
        sys.stdout.write(f"::add-mask::{token}\n")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(token)
    except KeyError as missing:
        sys.stderr.write(f"no token: {missing} is missing; the job needs `id-token: write`\n")
        return 2
    except (OSError, ValueError) as wrong:
        sys.stderr.write(f"no token: {type(wrong).__name__}\n")
        return 2
    return 0


def _token(base: str, bearer: str, audience: str) -> str:
    """Returns the token that GitHub's own issuer gives this job."""
    if not base.startswith(("https://", "http://127.0.0.1:")):
        raise ValueError("not https")
    url = f"{base}{'&' if '?' in base else '?'}audience={urllib.parse.quote(audience, safe='')}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {bearer}"})  # noqa: S310 - https
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 - https
        value = str(json.loads(answer.read())["value"])
    if value.count(".") != 2 or not value.replace(".", "").replace("-", "").replace("_", "").isalnum():  # noqa: PLR2004
        raise ValueError("not a token")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
