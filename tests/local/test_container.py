"""The container credential endpoint: what botocore reads from it, and who is given nothing."""

import http.client
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from botocore.credentials import ContainerProvider
from botocore.exceptions import CredentialRetrievalError
from botocore.utils import ContainerMetadataFetcher

from remit.errors import RateLimited, Refused, Remedy, RemitError, TaskOver, Unavailable
from remit.grant import Credentials
from remit.local.container import ContainerEndpoint

GIVEN = Credentials("ASIAREMIT", "made-up-secret", "made-up-token", datetime(2126, 11, 30, 3, 0, tzinfo=UTC), None)


@contextmanager
def serving(credentials: Callable[[], Credentials]) -> Iterator[dict[str, str]]:
    with ContainerEndpoint(credentials) as endpoint:
        yield endpoint.environment()


def asked(environ: dict[str, str], path: str | None = None, *, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Asks as an SDK does, with other headers than it would send; an empty one is left out."""
    url = urlsplit(environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
    usual = {"Host": url.netloc, "Authorization": environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]}
    connection = http.client.HTTPConnection(url.netloc, timeout=60)
    try:
        connection.putrequest(method, path or url.path, skip_host=True)
        for name, value in {**usual, **headers}.items():
            if value:
                connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def provider(environ: dict[str, str]) -> ContainerProvider:
    """Returns botocore's own provider, which asks three times without a pause in between."""
    fetcher = ContainerMetadataFetcher(sleep=lambda _: None)
    return ContainerProvider(environ, fetcher)  # type: ignore[arg-type]  # its stub names another


def test_botocore_reads_the_credentials_from_it() -> None:
    with serving(lambda: GIVEN) as environ:
        found = provider(environ).load()
        frozen = found.get_frozen_credentials()

    assert (frozen.access_key, frozen.secret_key, frozen.token) == ("ASIAREMIT", "made-up-secret", "made-up-token")


def test_botocore_tells_its_user_why_there_are_none() -> None:
    def refuse() -> Credentials:
        raise Refused(
            "s3:PutObject on arn:aws:s3:::reports/x is not delegated",
            reason="CEILING_EXCEEDED",
            remedy=Remedy.NARROW,
        )

    with serving(refuse) as environ, pytest.raises(CredentialRetrievalError) as raised:
        provider(environ).load()

    assert "CEILING_EXCEEDED" in str(raised.value)
    assert "s3:PutObject on arn:aws:s3:::reports/x" in str(raised.value)
    assert "what to do: " in str(raised.value)


STATUS: list[tuple[RemitError, int]] = [
    (Refused("no", reason="POLICY_DENIED"), 403),
    (TaskOver("over", reason="GRANT_NOT_LIVE"), 403),
    (Unavailable("gone", reason="UNAVAILABLE"), 503),
    (RateLimited("slower", reason="RATE_LIMITED"), 429),
]


@pytest.mark.parametrize(("error", "status"), STATUS, ids=lambda value: getattr(value, "reason", None))
def test_a_failure_has_its_reason_its_text_and_a_status_that_says_whether_to_ask_again(
    error: RemitError, status: int
) -> None:
    def fail() -> Credentials:
        raise error

    with serving(fail) as environ:
        found, body = asked(environ)

    assert found == status
    assert json.loads(body)["Code"] == error.reason
    assert error.message in json.loads(body)["Message"]
    assert "\\n" not in body


NOT_LET_IN: dict[str, tuple[dict[str, str], int]] = {
    "no token": ({"Authorization": ""}, 401),
    "another token": ({"Authorization": "x" * 43}, 401),
    "a token that is not ASCII": ({"Authorization": "\xe4"}, 401),
    "another name for loopback": ({"Host": "evil.example:80"}, 403),
    "no name": ({"Host": ""}, 403),
    "another port": ({"Host": "127.0.0.1:1"}, 403),
}


@pytest.mark.parametrize("case", NOT_LET_IN)
def test_no_credentials_are_given_to_a_request_with(case: str) -> None:
    headers, status = NOT_LET_IN[case]

    with serving(lambda: GIVEN) as environ:
        found, body = asked(environ, **headers)

    assert found == status
    assert "ASIAREMIT" not in body


def test_other_paths_and_methods_give_nothing() -> None:
    with serving(lambda: GIVEN) as environ:
        path, _ = asked(environ, "/latest/meta-data/")
        method, _ = asked(environ, method="POST")

    assert (path, method) == (404, 501)


def test_what_is_unforeseen_is_told_by_its_type_only() -> None:
    def fail() -> Credentials:
        raise ValueError("eyJ-secret")

    with serving(fail) as environ:
        status, body = asked(environ)

    assert status == 500
    assert "eyJ-secret" not in body


def test_many_ask_at_once_and_all_are_answered() -> None:
    with serving(lambda: GIVEN) as environ, ThreadPoolExecutor(100) as pool:
        found = list(pool.map(lambda _: asked(environ)[0], range(300)))

    assert found == [200] * 300
