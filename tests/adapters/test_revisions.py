"""Policy revisions in the ledger: published once, activated in one transaction, and obeyed by every commit after it."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.databases import Place, asked
from tests.fakes import NOON, FakeClock
from tests.ledger_values import (
    a_grant,
    a_task,
    an_authorization,
    an_issuance,
    grant_id,
    issued_record,
    kinds,
    opening,
    state_of,
)

from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.policies.revisions import DatabaseRevisions
from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.adapters.policy.bundles.archive import MAX_ARCHIVE_BYTES
from remit_server.application.policy.ports import Activated, ActivationOrder, NewRevision
from remit_server.domain.errors import Denied, PolicyChanged, Reason
from remit_server.domain.policy_revision import ActivationKind, BundleFacts, RevisionSource

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def database(place: Place) -> Place:
    return place


@pytest.fixture
async def ledger(database: Place, clock: FakeClock) -> AsyncIterator[DatabaseLedger]:
    async with open_ledger(database, clock, denying=True) as opened:
        yield opened


@pytest.fixture
async def revisions(ledger: DatabaseLedger) -> DatabaseRevisions:
    """What is kept of revisions, with A, B and C published and none of them active."""
    kept = DatabaseRevisions(ledger.store)
    for revision in (A, B, C):
        await kept.publish(new(revision), by="corp:ada", source=RevisionSource.OPERATOR)
    return kept


def new(revision: str, archive: bytes = b"an archive", **changes: Any) -> NewRevision:
    values: dict[str, Any] = {
        "size": 1234,
        "built_time": NOON - timedelta(days=1),
        "signed_by": "release",
        "rule_files": 3,
        "capabilities": 2,
        "entitlements": 17,
    }
    return NewRevision(BundleFacts(revision, **{**values, **changes}), archive)


async def activate(revisions: DatabaseRevisions, revision: str, **more: Any) -> Activated:
    return await revisions.activate(ActivationOrder(revision, by="corp:ada", why="as reviewed", **more))


async def refusal(revisions: DatabaseRevisions, revision: str, **more: Any) -> Reason:
    with pytest.raises(Denied) as raised:
        await activate(revisions, revision, **more)
    return raised.value.reason


def of(revision: str, number: int = 1) -> Any:
    """Returns the authorization of a grant, which opens its task, as that revision decided it."""
    grant = a_grant(number, number, policy_revision=revision)
    return an_authorization(f"request-{number}", grant=grant, new_task=a_task(number))


async def test_a_published_revision_is_read_back_as_it_was_published(ledger: DatabaseLedger, clock: FakeClock) -> None:
    revisions = DatabaseRevisions(ledger.store)

    published, is_new = await revisions.publish(new(A, b"bytes"), by="corp:ada", source=RevisionSource.OPERATOR)

    assert (published.facts, published.publish_time, published.publisher) == (new(A).facts, clock.now(), "corp:ada")
    assert (is_new, published.source) == (True, RevisionSource.OPERATOR)
    assert await revisions.matching("aaaaaaaa") == [published]
    assert await revisions.archive(A) == b"bytes"


async def test_publishing_the_same_content_again_changes_nothing(revisions: DatabaseRevisions, database: Place) -> None:
    again, is_new = await revisions.publish(new(A, b"another archive"), by="corp:bob", source=RevisionSource.FOLDER)

    assert (is_new, again.publisher, await revisions.archive(A)) == (False, "corp:ada", b"an archive")
    assert kinds(database) == ["revision_published"] * 3


async def test_an_archive_as_large_as_one_may_be_comes_back_byte_for_byte(ledger: DatabaseLedger) -> None:
    revisions, archive = DatabaseRevisions(ledger.store), os.urandom(MAX_ARCHIVE_BYTES)

    await revisions.publish(new(A, archive), by="corp:ada", source=RevisionSource.OPERATOR)

    assert await revisions.archive(A) == archive


async def test_a_revision_that_nobody_published_is_not_there(revisions: DatabaseRevisions) -> None:
    assert (await revisions.matching("dddddddd"), await revisions.archive("d" * 64)) == ([], None)
    assert await refusal(revisions, "d" * 64) is Reason.NOT_FOUND


async def test_digits_that_fit_several_revisions_name_two_of_them(ledger: DatabaseLedger) -> None:
    revisions = DatabaseRevisions(ledger.store)
    for last in "123":
        await revisions.publish(new("e" * 63 + last), by="corp:ada", source=RevisionSource.OPERATOR)

    assert [one.revision[-1] for one in await revisions.matching("e" * 8)] == ["1", "2"]


async def test_revisions_are_listed_newest_first_and_by_page(revisions: DatabaseRevisions) -> None:
    first = await revisions.listed(before=None, limit=2)
    rest = await revisions.listed(before=first[-1].number, limit=2)

    assert ([one.revision for one in first], [one.revision for one in rest]) == ([C, B], [A])


async def test_the_first_activation_goes_on_record(
    revisions: DatabaseRevisions, database: Place, clock: FakeClock
) -> None:
    done = await activate(revisions, A)

    assert (done.previous, done.revoked_grants, done.changed) == ("", 0, True)
    assert (done.activation.kind, done.activation.time) == (ActivationKind.ACTIVATED, clock.now())
    assert await revisions.active() == done.activation
    assert kinds(database)[-1:] == ["revision_activated"]
    assert asked(database, "SELECT kind FROM signals ORDER BY sequence")[-1:] == [("revision_activated",)]


async def test_what_made_a_revision_active_is_told_apart(revisions: DatabaseRevisions) -> None:
    await activate(revisions, A, adopted=True)
    await activate(revisions, B)
    await activate(revisions, A)

    assert [one.kind for one in await revisions.activations(None, limit=5)] == [
        ActivationKind.ROLLED_BACK,
        ActivationKind.ACTIVATED,
        ActivationKind.ADOPTED,
    ]
    assert [one.number for one in await revisions.activations(A, limit=1)] == [3]


async def test_activating_the_active_revision_changes_nothing_and_says_so(
    revisions: DatabaseRevisions, database: Place
) -> None:
    before = await activate(revisions, A)
    written = kinds(database)

    again = await activate(revisions, A, expected_active=B)

    assert (again.changed, again.activation, again.previous) == (False, before.activation, A)
    assert kinds(database) == written


async def test_an_order_loses_to_whoever_was_faster(revisions: DatabaseRevisions) -> None:
    await activate(revisions, A)

    assert await refusal(revisions, C, expected_active=B) is Reason.REVISION_CHANGED
    assert (await activate(revisions, C, expected_active=A)).changed


async def test_going_back_goes_to_what_was_active_before_only(revisions: DatabaseRevisions) -> None:
    await activate(revisions, A)
    await activate(revisions, B)

    assert await refusal(revisions, C, only_back=True) is Reason.REVISION_REFUSED
    assert (await activate(revisions, A, only_back=True)).activation.kind is ActivationKind.ROLLED_BACK


async def test_a_source_does_not_undo_an_activation(revisions: DatabaseRevisions) -> None:
    await activate(revisions, A, adopted=True)
    await activate(revisions, B, adopted=True, expected_active=A)

    assert await refusal(revisions, A, adopted=True, expected_active=B) is Reason.REVISION_REFUSED


async def test_of_two_sources_at_once_the_second_has_to_look_again(revisions: DatabaseRevisions) -> None:
    await activate(revisions, A, adopted=True)

    assert await refusal(revisions, B, adopted=True) is Reason.REVISION_CHANGED


async def test_a_rollback_may_revoke_what_the_bad_revision_issued(
    ledger: DatabaseLedger, revisions: DatabaseRevisions, database: Place
) -> None:
    await activate(revisions, A)
    await ledger.authorize(of(A, 1))
    await ledger.issue(grant_id(1), replace(an_issuance(1), policy_revision=A), issued_record(1))
    await activate(revisions, B)
    await ledger.authorize(of(B, 2))
    await ledger.issue(grant_id(2), replace(an_issuance(2), policy_revision=B), issued_record(2))

    done = await activate(revisions, A, revoke_issued=True)

    assert (state_of(database, 1), state_of(database, 2), done.revoked_grants) == ("ISSUED", "REVOKING", 1)
    assert kinds(database)[-2:] == ["grants_revoked", "revision_activated"]
    assert asked(database, "SELECT revocation_id, target_key, cause, block FROM revocations") == [
        (done.activation.revocation_id, B, "ROLLBACK", True)
    ]
    assert len(asked(database, "SELECT number FROM denies")) > 0


async def test_what_was_revoked_is_activated_again_only_once_its_block_is_lifted(
    ledger: DatabaseLedger, revisions: DatabaseRevisions
) -> None:
    await activate(revisions, A)
    await activate(revisions, B)
    done = await activate(revisions, A, revoke_issued=True)
    refused = await refusal(revisions, B)

    assert done.activation.revocation_id is not None
    await DatabaseRevocations(ledger.store).lift(done.activation.revocation_id, "corp:ada", "it was mended")

    assert (refused, (await activate(revisions, B)).changed) == (Reason.REVISION_REFUSED, True)


async def test_a_revoke_that_would_silently_not_be_done_is_refused(revisions: DatabaseRevisions) -> None:
    await activate(revisions, A)
    await activate(revisions, B)
    await activate(revisions, A)

    assert await refusal(revisions, A, revoke_issued=True) is Reason.REVISION_CHANGED


async def test_the_same_rollback_asked_for_twice_is_done_once(revisions: DatabaseRevisions) -> None:
    await activate(revisions, A)
    await activate(revisions, B)
    first = await activate(revisions, A, revoke_issued=True)

    again = await activate(revisions, A, revoke_issued=True)

    assert (again.changed, again.activation) == (False, first.activation)


async def test_nothing_is_authorized_that_another_revision_decided(
    ledger: DatabaseLedger, revisions: DatabaseRevisions, database: Place
) -> None:
    await activate(revisions, A)
    done = await activate(revisions, B)

    with pytest.raises(PolicyChanged) as raised:
        await ledger.authorize(of(A))
    await ledger.authorize(of(B))

    assert (raised.value.reason, raised.value.activation) == (Reason.POLICY_UNAVAILABLE, done.activation.number)
    assert kinds(database).count("grant_authorized") == 1


async def test_what_a_revoked_revision_decided_is_decided_anew_and_not_denied(
    ledger: DatabaseLedger, revisions: DatabaseRevisions
) -> None:
    await activate(revisions, A)
    await activate(revisions, B)
    await activate(revisions, A, revoke_issued=True)

    with pytest.raises(PolicyChanged):
        await ledger.authorize(of(B))


async def test_a_ledger_without_any_activation_holds_nothing_against_it(ledger: DatabaseLedger) -> None:
    await ledger.authorize(opening())

    assert await DatabaseRevisions(ledger.store).active() is None
