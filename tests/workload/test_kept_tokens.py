"""A platform is asked once by everybody, again before its token ends, and never waited for without end."""

import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.token_forge import b64
from tests.workload.tokens import jwt

from remit.secret import Secret
from remit.workload import NoWorkloadIdentity, WorkloadToken
from remit.workload import token as kept_tokens
from remit.workload.failing import harmless


def source(fetch: Callable[[], str], *, keeps: bool = True) -> WorkloadToken:
    return WorkloadToken("platform", {"audience": "remit"}, fetch, keeps=keeps)


def each(*tokens: str) -> tuple[Callable[[], str], list[str]]:
    """Returns what gives one token after the other, and those that are left."""
    left = list(tokens)
    return (lambda: left.pop(0)), left


def test_a_token_is_kept_for_the_calls_that_follow() -> None:
    first = jwt()
    fetch, left = each(first, jwt())
    token = source(fetch)

    assert [token(), token(), token()] == [first] * 3
    assert len(left) == 1


@pytest.mark.parametrize(("ends_in", "is_fresh"), [(61, True), (59, False), (1, False), (-5, False)])
def test_a_token_near_its_end_is_asked_for_anew(ends_in: float, is_fresh: bool) -> None:
    token = Secret(jwt(ends_in=ends_in))

    kept = kept_tokens.Kept(token, time.time() - 600)

    assert kept.is_fresh() == is_fresh


@pytest.mark.parametrize("end", [1e300, float("inf"), 32503680000])
def test_a_token_that_says_it_never_ends_is_asked_for_anew_after_an_hour(end: float) -> None:
    token = Secret(jwt(exp=end))

    assert kept_tokens.Kept(token, time.time() - 3590).is_fresh()
    assert not kept_tokens.Kept(token, time.time() - 3601).is_fresh()


def test_a_token_that_is_over_serves_no_second_call() -> None:
    fetch, left = each(jwt(ends_in=-5), jwt())
    token = source(fetch)

    token()
    token()

    assert left == []


def test_a_short_token_serves_half_of_its_life() -> None:
    born = time.time()
    kept = kept_tokens.Kept(Secret(jwt(ends_in=10)), born)

    assert kept.is_fresh()
    assert kept._renewal == pytest.approx(born + 5, abs=0.1)


def test_without_keeping_each_call_gets_a_token_of_its_own() -> None:
    tokens = [jwt(jti="1"), jwt(jti="2")]
    token = source(each(*tokens)[0], keeps=False)

    assert [token(), token()] == tokens


def test_everybody_who_waits_is_served_by_one_question() -> None:
    asked, arrived, release = [], threading.Event(), threading.Event()

    def fetch() -> str:
        asked.append(1)
        arrived.set()
        release.wait(30)
        return jwt()

    token = source(fetch)
    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(token) for _ in range(8)]
        arrived.wait(30)
        release.set()
        given = {one.result(30) for one in waiting}

    assert len(given) == 1
    assert asked == [1]


def test_a_platform_that_hangs_is_given_up_and_its_one_question_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_tokens, "PATIENCE", 0.05)
    release, asked = threading.Event(), []

    def fetch() -> str:
        asked.append(1)
        release.wait(30)
        return jwt()

    token = source(fetch)

    for _ in range(3):
        with pytest.raises(NoWorkloadIdentity, match="gave no token within 0 seconds"):
            token()

    assert asked == [1]
    release.set()


def test_a_question_that_hangs_for_good_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_tokens, "PATIENCE", 0.05)
    monkeypatch.setattr(kept_tokens, "GIVEN_UP", 0.0)
    release, good = threading.Event(), jwt()
    asked: list[int] = []

    def fetch() -> str:
        asked.append(1)
        return good if len(asked) > 1 else str(release.wait(30))

    token = source(fetch)
    with pytest.raises(NoWorkloadIdentity):
        token()
    monkeypatch.setattr(kept_tokens, "PATIENCE", 30)

    assert token() == good
    release.set()


def test_a_token_that_is_still_good_outlasts_an_outage() -> None:
    good = jwt(ends_in=0.9)
    answers = iter([good])

    def fetch() -> str:
        for answer in answers:
            return answer
        raise NoWorkloadIdentity("away")

    token = source(fetch)
    assert token() == good
    kept = token._kept
    assert kept is not None
    kept._renewal = 0.0  # it is time to ask again

    assert token() == good
    kept._end = 0.0
    with pytest.raises(NoWorkloadIdentity, match="away"):
        token()


def test_a_failure_is_not_remembered() -> None:
    failures = iter([NoWorkloadIdentity("away")])
    good = jwt()

    def fetch() -> str:
        for failure in failures:
            raise failure
        return good

    token = source(fetch)
    with pytest.raises(NoWorkloadIdentity):
        token()

    assert token() == good


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", "gave nothing"),
        ("   \n", "gave nothing"),
        ("x" * 16385, "gave 16385 characters, which is no token"),
        ("no-token-canary", "is no signed JWT"),
        ("a.b", "is no signed JWT"),
        ("canary.b.c\nd.e.f", "is no signed JWT"),
        ("canary.b.", "is no signed JWT"),
    ],
)
def test_what_is_no_token_is_refused_without_being_repeated(given: str, told: str) -> None:
    with pytest.raises(NoWorkloadIdentity, match=told) as raised:
        source(lambda: given)()

    assert "canary" not in str(raised.value)
    assert raised.value.reason == "WORKLOAD_TOKEN_UNAVAILABLE"


def test_what_a_library_says_when_it_fails_is_not_repeated() -> None:
    def fetch() -> str:
        raise RuntimeError("canary")

    with pytest.raises(NoWorkloadIdentity) as raised:
        source(fetch)()

    assert raised.value.message == "platform gave no token: RuntimeError"


@pytest.mark.parametrize("claims", ["[]", "null", "1", "{", '{"exp": true}', '{"exp": "soon"}', "[" * 100_000])
def test_a_token_whose_end_cannot_be_read_serves_one_call(claims: str) -> None:
    token = f"e30.{b64(claims.encode())}.c2ln"

    assert kept_tokens.unverified_end(Secret(token)) is None
    assert not kept_tokens.Kept(Secret(token), time.time()).is_fresh()


def test_no_token_is_in_what_can_be_printed() -> None:
    secret = jwt(jti="canary")
    token = source(lambda: secret)
    token()

    assert repr(token) == "<WorkloadToken platform audience='remit'>"
    assert secret not in repr([token._kept, token._flight, vars(token._flight)])


def test_sources_of_the_same_thing_are_equal_and_of_another_are_not() -> None:
    same, other = source(str), WorkloadToken("platform", {"audience": "else"}, str, keeps=True)

    assert source(str) == same
    assert {source(str), same} == {same}
    assert same != other
    assert same != "platform"


def test_the_error_pickles_with_what_to_do() -> None:
    error = NoWorkloadIdentity("away", advice="try again")

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own

    assert str(copy) == str(error) == "WORKLOAD_TOKEN_UNAVAILABLE: away\n  what to do: try again"


def test_what_a_platform_says_is_told_short_and_without_what_may_be_a_token() -> None:
    assert harmless(f"denied \x1b[31mfor\n {jwt()} now") == "denied [31mfor *** now"
    assert harmless(
        f"no {'0123456789abcdef' * 4} at https://sts.eu-central-1.amazonaws.com/: NotFoundInThisPlaceError"
    ) == ("no *** at https://sts.eu-central-1.amazonaws.com/: NotFoundInThisPlaceError")
    assert len(harmless("no " * 1000)) == 300
