"""What following a source of policies needs from outside, and what a source has to say."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from remit_server.application.policy.following.offers import Offer, OfferCode, Seen
from remit_server.domain.policy_revision import RevisionSource


@dataclass(frozen=True, slots=True)
class Offered:
    """The source has a bundle whose signature, if it has one, was verified: its files by path."""

    offer: Offer
    files: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class StillOffered:
    """The source has what it had, which was told as `Offered` before."""

    offer: Offer


@dataclass(frozen=True, slots=True)
class Unacceptable:
    """The source has something that is no bundle, or whose signature is wrong; `revision` is empty where unknown."""

    code: OfferCode
    message: str
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The source did not answer, or not as a source does; `why` holds nothing of what it sent."""

    why: str


SourceNews = Offered | StillOffered | Unacceptable | Unreachable


class PolicySource(Protocol):
    """Where bundles come from."""

    @property
    def name(self) -> str:
        """What records and logs call it."""
        ...

    @property
    def kind(self) -> RevisionSource:
        """What kind of source it is."""
        ...

    def news(self) -> AsyncGenerator[SourceNews, None]:
        """Yields at once what the source has, then what it has later, at its own pace; never raises for the source."""
        ...

    def forget(self) -> None:
        """Makes the next news an `Offered` in full: what was offered could not be adopted, but may be later."""
        ...


class SeePolicies(Protocol):
    """Knows what has been before."""

    async def __call__(self, revision: str, /) -> Seen:
        """Returns what is active, and whether this revision ever was; raises Outage(LEDGER_UNAVAILABLE)."""
        ...


class AdoptOffer(Protocol):
    """Makes an offer the active revision, after every check that a bundle must pass."""

    async def __call__(self, offered: Offered, /, *, expected_active: str) -> None:
        """Publishes and activates it, unless another than `expected_active` (empty: none) is active by now.

        Raises Denied(REVISION_REFUSED | REVISION_CHANGED), and Outage where it could not be done.
        """
        ...
