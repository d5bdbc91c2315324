"""Judges whether a bundle that a source offers may be adopted: newer than the newest seen, signed, and of this age.

A source can be replaced, replayed or held back by whoever stands between, so what it offers is never simply taken.
Only a person goes back to an older revision, and then the source does not overrule that.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

LEEWAY: Final = timedelta(minutes=5)


class OfferCode(StrEnum):
    """Why an offer is refused; stable, as `revision_refused` records tell it."""

    MALFORMED = "MALFORMED"
    UNSIGNED = "UNSIGNED"
    SIGNATURE_WRONG = "SIGNATURE_WRONG"
    UNDATED = "UNDATED"
    FROM_THE_FUTURE = "FROM_THE_FUTURE"
    TOO_OLD = "TOO_OLD"
    OLDER = "OLDER"
    REPLAYED = "REPLAYED"


@dataclass(frozen=True, slots=True)
class Offer:
    """What a source offers, its signature verified: `signed_by` is the key's id, empty for an unsigned bundle.

    `built_time` is what its manifest says, None where it does not say; `size` is in bytes.
    """

    source: str
    revision: str
    built_time: datetime | None
    signed_by: str
    size: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What has been before: the active revision, all that ever were, and the newest time at which one was built.

    `active` is empty before the first. `by_person` says that somebody chose the active one, not a source.
    """

    active: str = ""
    by_person: bool = False
    newest_built_time: datetime | None = None
    ever_active: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class OfferLimits:
    """What is asked of an offer: a signature, and to be built no longer ago than `oldest` (None: any time)."""

    signature_required: bool = False
    oldest: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The source offers what is active."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """The offer may become the active revision, once it was checked as every bundle is."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The offer may not be adopted, and what is active stays. `message` says why and what to do.

    `confirms` says that the source is well all the same: it offers what a person decided against.
    """

    code: OfferCode
    message: str
    confirms: bool = False


Verdict = Unchanged | Adopt | Refused


def judge(offer: Offer, seen: Seen, limits: OfferLimits, now: datetime) -> Verdict:
    """Returns what is to be done with an offer; in doubt it is refused."""
    if limits.signature_required and not offer.signed_by:
        return Refused(OfferCode.UNSIGNED, _UNSIGNED)
    if offer.built_time is not None and offer.built_time > now + LEEWAY:
        return Refused(
            OfferCode.FROM_THE_FUTURE,
            f"it was built at {_told(offer.built_time)}, and that is still to come; {_CLOCKS}",
        )
    if offer.revision == seen.active:
        return Unchanged()
    return _age_refusal(offer, seen, limits, now) or _order_refusal(offer, seen) or Adopt()


def _age_refusal(offer: Offer, seen: Seen, limits: OfferLimits, now: datetime) -> Refused | None:
    """Returns why an offer's age forbids it: a time is asked for wherever one can be missed."""
    if offer.built_time is None:
        is_missed = limits.signature_required or limits.oldest is not None or seen.newest_built_time is not None
        return Refused(OfferCode.UNDATED, _UNDATED) if is_missed else None
    if limits.oldest is not None and now - offer.built_time > limits.oldest:
        days = limits.oldest / timedelta(days=1)
        why = f"it was built at {_told(offer.built_time)}, more than the {days:g} days ago that are allowed"
        return Refused(OfferCode.TOO_OLD, f"{why}; build and sign it anew")
    return None


def _order_refusal(offer: Offer, seen: Seen) -> Refused | None:
    """Returns why an offer that is not active would be a step back."""
    if offer.revision in seen.ever_active:
        return Refused(OfferCode.REPLAYED, _replayed(offer.revision), confirms=seen.by_person)
    newest = seen.newest_built_time
    if newest is not None and offer.built_time is not None and offer.built_time < newest:
        why = f"it was built at {_told(offer.built_time)}, before the newest that was seen ({_told(newest)})"
        return Refused(OfferCode.OLDER, f"{why}; build the policy you mean anew", confirms=seen.by_person)
    return None


def _replayed(revision: str) -> str:
    """Says how a revision comes back."""
    back = f"to go back to it, run `remit-server policy activate {revision[:12]}`"
    return f"it decided before and does not any more, so a source cannot bring it back; {back}"


def _told(time: datetime) -> str:
    """Returns a time as records tell it."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


_CLOCKS: Final = "set the clocks of this gateway and of whoever builds bundles right"
_UNSIGNED: Final = "it is not signed, and policy.signing.required asks for it; sign it with `remit-server policy sign`"
_UNDATED: Final = (
    "its manifest does not say when it was built, so nobody can tell whether it is the newest; "
    "build it with `remit-server policy build`, or run `policy stamp` or `policy sign`"
)
