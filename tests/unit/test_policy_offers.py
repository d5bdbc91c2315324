"""What a source offers is adopted only when it is signed as asked, dated, and newer than everything before."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes import NOON

from remit_server.application.policy.following.offers import (
    Adopt,
    Offer,
    OfferCode,
    OfferLimits,
    Refused,
    Seen,
    Unchanged,
    Verdict,
    judge,
)

HOUR = timedelta(hours=1)
NEWEST = NOON - HOUR
R1, R2, R3 = "1" * 64, "2" * 64, "3" * 64
OFFER = Offer("source", R3, NOON - HOUR / 2, "ci", 1000)
SEEN = Seen(active=R2, newest_built_time=NEWEST, ever_active=frozenset({R1, R2}))
SIGNED = OfferLimits(signature_required=True)


def code(verdict: Verdict) -> OfferCode | None:
    return verdict.code if isinstance(verdict, Refused) else None


def test_a_newer_signed_bundle_is_adopted() -> None:
    assert judge(OFFER, SEEN, SIGNED, NOON) == Adopt()


def test_the_first_bundle_is_adopted_however_old() -> None:
    assert judge(replace(OFFER, built_time=NOON - 1000 * HOUR), Seen(), SIGNED, NOON) == Adopt()


def test_the_active_revision_is_nothing_new_however_old() -> None:
    offer = replace(OFFER, revision=R2, built_time=NOON - 1000 * HOUR)

    assert judge(offer, SEEN, replace(SIGNED, oldest=HOUR), NOON) == Unchanged()


def test_a_bundle_that_was_built_before_the_newest_seen_is_refused() -> None:
    verdict = judge(replace(OFFER, built_time=NEWEST - timedelta(seconds=1)), SEEN, SIGNED, NOON)

    assert isinstance(verdict, Refused)
    assert verdict.code is OfferCode.OLDER
    assert "2026-11-23T10:59:59Z" in verdict.message
    assert "2026-11-23T11:00:00Z" in verdict.message


def test_a_bundle_of_the_very_time_of_the_newest_is_adopted() -> None:
    assert judge(replace(OFFER, built_time=NEWEST), SEEN, SIGNED, NOON) == Adopt()


@pytest.mark.parametrize("built_time", [None, NEWEST - HOUR, NOON])
@pytest.mark.parametrize("limits", [SIGNED, OfferLimits()])
def test_a_revision_that_decided_before_never_comes_back_by_itself(
    built_time: datetime | None, limits: OfferLimits
) -> None:
    offer = replace(OFFER, revision=R1, built_time=built_time)

    verdict = judge(offer, SEEN, limits, NOON)

    assert code(verdict) in {OfferCode.REPLAYED, OfferCode.UNDATED}
    assert (code(verdict) is OfferCode.UNDATED) == (built_time is None)


def test_a_replay_is_told_with_the_way_back() -> None:
    verdict = judge(replace(OFFER, revision=R1), SEEN, SIGNED, NOON)

    assert isinstance(verdict, Refused)
    assert "policy activate 111111111111" in verdict.message


def test_an_undated_replay_without_any_date_before_is_refused_too() -> None:
    seen = replace(SEEN, newest_built_time=None)

    assert code(judge(replace(OFFER, revision=R1, built_time=None), seen, OfferLimits(), NOON)) is OfferCode.REPLAYED


def test_what_a_person_decided_against_is_refused_but_shows_that_the_source_is_well() -> None:
    rolled_back = Seen(active=R1, by_person=True, newest_built_time=NEWEST, ever_active=frozenset({R1, R2}))

    verdict = judge(replace(OFFER, revision=R2, built_time=NEWEST), rolled_back, SIGNED, NOON)

    assert isinstance(verdict, Refused)
    assert (verdict.code, verdict.confirms) == (OfferCode.REPLAYED, True)


@pytest.mark.parametrize("revision", [R1, R3])
def test_what_nobody_decided_against_confirms_nothing(revision: str) -> None:
    verdict = judge(replace(OFFER, revision=revision, built_time=NEWEST - HOUR), SEEN, SIGNED, NOON)

    assert isinstance(verdict, Refused)
    assert not verdict.confirms


@pytest.mark.parametrize("revision", [R1, R2, R3])
def test_an_unsigned_bundle_is_refused_where_a_signature_is_asked_for(revision: str) -> None:
    verdict = judge(replace(OFFER, revision=revision, signed_by=""), replace(SEEN, by_person=True), SIGNED, NOON)

    assert verdict == Refused(OfferCode.UNSIGNED, verdict.message if isinstance(verdict, Refused) else "")


def test_an_unsigned_bundle_is_adopted_where_none_is() -> None:
    assert judge(replace(OFFER, signed_by=""), SEEN, OfferLimits(), NOON) == Adopt()


@pytest.mark.parametrize("revision", [R2, R3])
def test_a_bundle_from_the_future_is_refused(revision: str) -> None:
    late = replace(OFFER, revision=revision, built_time=NOON + timedelta(minutes=5, seconds=1))

    assert code(judge(late, SEEN, SIGNED, NOON)) is OfferCode.FROM_THE_FUTURE
    assert judge(replace(late, built_time=NOON + timedelta(minutes=5)), SEEN, SIGNED, NOON) in (Adopt(), Unchanged())


def test_a_bundle_older_than_the_limit_is_refused() -> None:
    limits = OfferLimits(oldest=30 * 24 * HOUR)

    assert code(judge(replace(OFFER, built_time=NOON - 31 * 24 * HOUR), Seen(), limits, NOON)) is OfferCode.TOO_OLD
    assert judge(replace(OFFER, built_time=NOON - 30 * 24 * HOUR), Seen(), limits, NOON) == Adopt()


@pytest.mark.parametrize(
    ("seen", "limits"),
    [(Seen(), SIGNED), (Seen(), OfferLimits(oldest=HOUR)), (SEEN, OfferLimits())],
    ids=["signed", "limited", "after a dated one"],
)
def test_a_bundle_without_a_time_is_refused_where_one_is_missed(seen: Seen, limits: OfferLimits) -> None:
    assert code(judge(replace(OFFER, built_time=None), seen, limits, NOON)) is OfferCode.UNDATED


def test_a_bundle_without_a_time_is_adopted_where_nobody_ever_gave_one() -> None:
    seen = replace(SEEN, newest_built_time=None)

    assert judge(replace(OFFER, built_time=None), seen, OfferLimits(), NOON) == Adopt()


_TIMES = st.none() | st.integers(-100, 100).map(lambda hours: NOON + hours * HOUR)


@given(
    st.lists(
        st.tuples(st.sampled_from([R1, R2, R3, "4" * 64, "5" * 64]), _TIMES, st.sampled_from(["", "ci"])), max_size=30
    ),
    st.sampled_from([OfferLimits(), SIGNED, OfferLimits(signature_required=True, oldest=50 * HOUR)]),
)
def test_whatever_a_source_offers_policy_only_goes_forward(
    offers: list[tuple[str, datetime | None, str]], limits: OfferLimits
) -> None:
    seen = Seen()
    for revision, built_time, signed_by in offers:
        offer = replace(OFFER, revision=revision, built_time=built_time, signed_by=signed_by)

        if judge(offer, seen, limits, NOON) != Adopt():
            continue

        assert revision not in seen.ever_active
        assert seen.newest_built_time is None or (offer.built_time or NOON - 1000 * HOUR) >= seen.newest_built_time
        newest = offer.built_time if offer.built_time is not None else seen.newest_built_time
        seen = Seen(revision, newest_built_time=newest, ever_active=seen.ever_active | {revision})
