"""A GitHub Actions job gets its token from the runner's endpoint, and sends the right to ask for it nowhere else."""

import threading
from collections.abc import Iterator

import pytest
from tests.opa_server import free_port
from tests.workload.github_endpoint import REQUEST_TOKEN, Endpoint, github_endpoint
from tests.workload.tokens import AUDIENCE

from remit import workload
from remit.workload import NoWorkloadIdentity
from remit.workload import token as kept_tokens


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """The endpoint of a job that may ask for tokens."""
    with github_endpoint() as endpoint:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", endpoint.url)
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN)
        yield endpoint


def failure(audience: str = AUDIENCE) -> NoWorkloadIdentity:
    with pytest.raises(NoWorkloadIdentity) as raised:
        workload.github(audience)()
    assert REQUEST_TOKEN not in str(raised.value)
    return raised.value


def test_each_call_gets_a_new_token_for_the_audience(endpoint: Endpoint) -> None:
    token = workload.github("https://remit.acme.example/?a=b&c")

    assert [token(), token()] == endpoint.issued
    assert endpoint.audiences == ["https://remit.acme.example/?a=b&c"] * 2
    assert len(set(endpoint.issued)) == 2


def test_where_tokens_may_be_reused_one_serves_several_calls(endpoint: Endpoint) -> None:
    token = workload.github(AUDIENCE, reuse=True)

    assert token() == token()
    assert len(endpoint.issued) == 1


@pytest.mark.parametrize("missing", ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
def test_a_job_without_the_permission_is_told_which_one(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delenv(missing)

    error = failure()

    assert error.message == f"GitHub gives this job no tokens: {missing} is not set"
    assert "permissions: id-token: write" in error.advice
    assert endpoint.asked == []


@pytest.mark.parametrize("status", [401, 403])
def test_an_endpoint_that_says_no_is_told_with_the_permission(endpoint: Endpoint, status: int) -> None:
    endpoint.planned.append((status, b"", {}))

    error = failure()

    assert f"answered {status}" in error.message
    assert "id-token: write" in error.advice


def test_a_failing_endpoint_is_asked_again(endpoint: Endpoint) -> None:
    endpoint.planned += [(503, b"", {}), (500, b"", {})]

    assert workload.github(AUDIENCE)() == endpoint.issued[-1]
    assert len(endpoint.asked) == 3


def test_one_that_goes_on_to_fail_is_given_up(endpoint: Endpoint) -> None:
    endpoint.planned += [(503, b"upstream-canary", {})] * 4

    error = failure()

    assert error.message == "GitHub's token endpoint answered 503 without a token"
    assert len(endpoint.planned) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"value": 1}', b'{"value": null}', b"\xff", b'{"value"', b"[" * 60_000],
    ids=["nothing", "a list", "no value", "a number", "null", "no text", "half", "nested"],
)
def test_an_answer_without_a_token_is_refused(endpoint: Endpoint, body: bytes) -> None:
    endpoint.planned.append((200, body, {}))

    assert failure().message == "GitHub's token endpoint answered 200 without a token"


def test_a_huge_answer_is_not_read(endpoint: Endpoint) -> None:
    endpoint.planned += [(200, b'{"value": "' + b"x" * 70_000 + b'"}', {})] * 3

    assert failure().message == "GitHub's token endpoint cannot be reached: HTTPException"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(endpoint: Endpoint, status: int) -> None:
    with github_endpoint() as elsewhere:
        endpoint.planned.append((status, b"", {"Location": elsewhere.url}))

        error = failure()

        assert elsewhere.asked == []
    assert f"answered {status} without a token" in error.message


@pytest.mark.parametrize(
    "url",
    [
        "http://pipelines.actions.example/token?api-version=2.0",
        "http://127.0.0.1.evil.example/token",
        "http://localhost.evil.example/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/token",
        "/token",
    ],
)
def test_an_address_that_is_not_https_is_not_asked(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", url)
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN)

    assert failure().message == "GitHub's token endpoint has no https address"


@pytest.mark.usefixtures("endpoint")
def test_nobody_there_is_told_without_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"http://127.0.0.1:{free_port()}/address-canary")

    error = failure()

    assert error.message == "GitHub's token endpoint cannot be reached: Connection refused"
    assert "canary" not in str(error)


def test_an_endpoint_that_never_answers_is_given_up(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_tokens, "PATIENCE", 0.1)
    endpoint.waits_for = threading.Event()

    error = failure()

    assert "gave no token within" in error.message
    endpoint.waits_for.set()


def test_a_value_that_is_no_token_is_refused(endpoint: Endpoint) -> None:
    endpoint.planned.append((200, b'{"value": "canary canary"}', {}))

    error = failure()

    assert error.message == "github gave something that is no signed JWT"


def test_outside_of_a_workflow_it_says_that_this_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    assert failure().message == "this is no job of GitHub Actions: ACTIONS_ID_TOKEN_REQUEST_URL is not set"


def test_an_empty_audience_is_refused() -> None:
    with pytest.raises(ValueError, match="audience must say something"):
        workload.github(" ")
