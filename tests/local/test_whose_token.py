"""A process that serves others on one machine reads the platform's variables of whoever asks, never its own."""

import pytest

from remit.cli import short_way
from remit.local import tokens
from remit.local.sharing import answers
from remit.local.wishes import Caller
from remit.workload import naming


@pytest.mark.parametrize("name", naming.VARIABLES)
def test_a_caller_passes_on_what_its_platform_gave_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "theirs")

    assert short_way.wish_request({})["environ"][name] == "theirs"


@pytest.mark.parametrize("name", naming.VARIABLES)
def test_what_a_caller_has_not_is_not_taken_from_whoever_serves(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "ours")

    assert name not in answers._environment({})
    assert answers._environment({name: "theirs"})[name] == "theirs"


@pytest.mark.parametrize("name", naming.VARIABLES)
def test_jobs_with_tokens_of_their_own_share_no_task(name: str) -> None:
    assert Caller.of({name: "a"}).key() != Caller.of({name: "b"}).key()


def test_a_platforms_token_is_the_callers() -> None:
    caller = Caller.of({"REMIT_ID_TOKEN": "opaque-token-of-the-caller"})

    source = tokens.token_source("gitlab", caller.settings, environ=caller.environ.reveal())

    assert source() == "opaque-token-of-the-caller"
