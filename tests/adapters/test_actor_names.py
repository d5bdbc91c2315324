"""No two agents have one name, whatever their issuers call them: tasks belong to an actor by its name alone."""

from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.identity_world import IdentityWorld
from tests.token_forge import HandClock, claims, forge, settings, trusted

from remit_server.adapters.identity.authentication import ActorAuthentication
from remit_server.adapters.identity.delegation import DelegationVerification
from remit_server.adapters.identity.oidc import OidcVerifier
from remit_server.adapters.identity.spiffe import SpiffeVerifier
from remit_server.config.identity_rules import InvalidSettings
from remit_server.domain.task import Task, TaskId, TaskState

ONE, OTHER = "https://one.example.com", "https://other.example.com"
TRICKY = st.sampled_from(["a", "a:b", "b", ":", "::", "b:a", "//acme.example/copilot", "a:", ":a", "spiffe://acme/x"])
ALIASES = st.sampled_from(["a", "b", "a-b", "spiffe-1", "s", "aa", "0", "-"])
START = datetime(2026, 11, 23, tzinfo=UTC)


def _world(one: str, other: str) -> IdentityWorld:
    """Two issuers whose tokens carry their actor in `sub`, under these aliases."""
    clock = HandClock()
    issuers = [
        trusted(settings(issuer=ONE, alias=one, carries_actor="sub"), clock),
        trusted(settings(issuer=OTHER, alias=other, carries_actor="sub"), clock),
    ]
    checked = OidcVerifier(issuers, clock)
    spiffe = SpiffeVerifier({"acme.example"}, clock)
    return IdentityWorld(clock, ActorAuthentication([], spiffe, checked), DelegationVerification([], checked))


@hypothesis_settings(max_examples=60, deadline=None)
@given(ALIASES, ALIASES, TRICKY, TRICKY)
async def test_two_issuers_never_yield_one_actor(one: str, other: str, first: str, second: str) -> None:
    assume(one != other)
    world = _world(one, other)

    of_one = await world.by_token(forge(claims(iss=ONE, sub=first)))
    of_other = await world.by_token(forge(claims(iss=OTHER, sub=second)))

    assert of_one.actor_id != of_other.actor_id
    assert not of_one.actor_id.startswith("spiffe:")
    task = Task(TaskId("t"), ONE, "alice", of_one.actor_id, "", {}, TaskState.LIVE, start_time=START, end_time=START)
    assert task.belongs_to(ONE, "alice", of_one.actor_id)
    assert not task.belongs_to(ONE, "alice", of_other.actor_id)


@hypothesis_settings(max_examples=40, deadline=None)
@given(ALIASES, TRICKY, TRICKY)
async def test_one_issuer_never_yields_one_actor_for_two_subjects(alias: str, first: str, second: str) -> None:
    assume(first != second)
    world = _world(alias, "zz")

    one, two = [await world.by_token(forge(claims(iss=ONE, sub=name))) for name in (first, second)]

    assert one.actor_id != two.actor_id


@pytest.mark.parametrize("alias", ["spiffe", "a:b", "", "A", "a/b", "a b", "ä", "a" * 21])
def test_no_alias_could_end_anywhere_but_at_the_first_colon(alias: str) -> None:
    """`spiffe` is nobody's alias: `spiffe:` and a subject `//acme.example/copilot` would be a workload's SPIFFE ID."""
    with pytest.raises(InvalidSettings, match="alias"):
        settings(alias=alias)


def test_no_two_issuers_have_one_alias() -> None:
    with pytest.raises(ValueError, match="same alias"):
        _world("a", "a")
