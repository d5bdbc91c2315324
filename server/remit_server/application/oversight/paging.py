"""Page tokens: where a list goes on. They name a place and nothing else, so a forged one shows nobody more.

What a page holds follows from the filter and from what the caller sees, both of which are asked anew for each page. A
token also carries a digest of the caller, the list and the filter it was made for: one that is used with another is a
mistake, which is told.
"""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

from remit_server.application.oversight.ports import Place
from remit_server.domain.decision import canonical_json
from remit_server.domain.errors import FieldViolation, InvalidRequest

T = TypeVar("T")
DEFAULT_SIZE: Final = 50
MAX_SIZE: Final = 500
MAX_TOKEN: Final = 512
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_KEY: Final = re.compile(r"[a-z0-9]{1,26}", re.ASCII)
_PARTS: Final = 3


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Items, newest first, and the token of the page after them; empty on the last."""

    items: tuple[T, ...]
    next_token: str


def size_of(asked: int) -> int:
    """Returns how many items a page has at most."""
    return min(asked, MAX_SIZE) if asked > 0 else DEFAULT_SIZE


def list_digest(*what: str) -> str:
    """Returns by what a token is known to be of this list: the caller's name, the RPC, the filters."""
    return hashlib.sha256(canonical_json(list(what)).encode()).hexdigest()[:32]


def token_of(place: Place, digest: str) -> str:
    """Returns the token of a page that begins after a place."""
    text = canonical_json([digest, place.time.isoformat(timespec="microseconds"), place.key])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place_of(token: str, digest: str) -> Place | None:
    """Returns where a list goes on, None for its beginning; raises InvalidRequest for a token that is not of it."""
    if not token:
        return None
    try:
        found_digest, time, key = _parts(token)
        place = Place(datetime.fromisoformat(time).astimezone(UTC), key)
    except (ValueError, OverflowError, RecursionError):
        raise _foreign() from None
    # NOTE: only the one spelling that `token_of` writes.
    if found_digest != digest or token_of(place, digest) != token:
        raise _foreign()
    return place


def paged(items: Sequence[T], size: int, digest: str, places: Sequence[Place]) -> Page[T]:
    """Returns the page of the first `size` items of more that were read; `places` are where each of them stands."""
    shown = tuple(items[:size])
    more = len(items) > size
    return Page(shown, token_of(places[size - 1], digest) if more else "")


def _parts(token: str) -> tuple[str, str, str]:
    """Returns the three texts of a token; raises ValueError when it has others."""
    if len(token) > MAX_TOKEN or not _TOKEN.fullmatch(token):
        raise ValueError("not base64url")
    parts = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode("ascii"))
    if not isinstance(parts, list) or len(parts) != _PARTS or not all(isinstance(part, str) for part in parts):
        raise ValueError("not three texts")
    if not _KEY.fullmatch(parts[2]):
        raise ValueError("no key")
    return parts[0], parts[1], parts[2]


def _foreign() -> InvalidRequest:
    rule = (
        "is not of this list: send the next_page_token of the page before, with the same filter and as the same caller"
    )
    return InvalidRequest([FieldViolation("page_token", rule)])
