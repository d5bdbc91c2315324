"""Reads what an OPA server answers around a decision: which OPA it is, and by which bundle it decided."""

import re
from dataclasses import dataclass
from typing import Any, Final

from remit_server.adapters.strict_fields import Malformed, mapping, members, spelled

BUNDLE_NAME: Final = "remit"
LEAST_VERSION: Final = (1, 21, 3)
_VERSION: Final = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})\.([0-9]{1,6})", re.ASCII)
_KNOWN: Final = frozenset({"decision_id"})
_WHICH: Final = frozenset({"version", "bundles"})
_BUILD: Final = frozenset({"build_commit", "build_timestamp", "build_hostname"})
_ONE_BUNDLE: Final = "Let it pull the one bundle `remit` from this gateway, and nothing else (deploy/opa/opa.yaml)"


class Unanswered(Exception):  # noqa: N818 - named for what it says
    """OPA gave nothing that may be used. `why` and `mend` are for the log and the operator.

    `opa_is_ill` says that other questions would fare no better, `hopeless` that waiting would not help either.
    """

    def __init__(self, why: str, mend: str = "", *, opa_is_ill: bool = True, hopeless: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.mend = mend
        self.opa_is_ill = opa_is_ill
        self.hopeless = hopeless


@dataclass(frozen=True, slots=True)
class Answer:
    """What OPA said: by which revision of the gateway's bundle, and the value of the rule unless it is undefined."""

    revision: str
    is_defined: bool
    value: Any = None


def answer_of(body: Any) -> Answer:
    """Returns the answer of an OPA that is new enough and holds the gateway's bundle alone.

    `body` is what `strict_json` read. Raises Unanswered for any other member, version or bundle.
    """
    try:
        raw = members(body, (), required=frozenset({"provenance"}), optional=_KNOWN | {"result"})
        provenance = members(raw["provenance"], ("provenance",), required=frozenset(), optional=_WHICH | _BUILD)
    except Malformed as wrong:
        # NOTE: what is wrong with it would quote it, and whose answer this is nobody knows.
        where, mend = spelled(wrong.where), "Point policy.opa.url at an OPA server"
        raise Unanswered(f"its answer is not OPA's: {where} lacks a member, or has another one", mend) from None
    _check_version(provenance.get("version"))
    return Answer(_revision(provenance.get("bundles", {})), "result" in raw, raw.get("result"))


def _check_version(version: Any) -> None:
    """Raises Unanswered unless OPA says that it is new enough."""
    least = ".".join(str(part) for part in LEAST_VERSION)
    mend = f"Run a released OPA from {least} on"
    found = _VERSION.fullmatch(version) if isinstance(version, str) else None
    if found is None:
        raise Unanswered("it does not say which released version it is", mend, hopeless=True)
    if tuple(int(part) for part in found.groups()) < LEAST_VERSION:
        raise Unanswered(f"it is OPA {found.group()}, older than {least}", mend, hopeless=True)


def _revision(bundles: Any) -> str:
    """Returns the revision of the gateway's bundle, empty while OPA has none; raises Unanswered for other bundles."""
    try:
        held = mapping(bundles, ("provenance", "bundles"), most=16)
        if not held:
            return ""
        ours = members(held, ("provenance", "bundles"), required=frozenset({BUNDLE_NAME}))[BUNDLE_NAME]
        revision = members(ours, ("provenance", "bundles", BUNDLE_NAME), required=frozenset({"revision"}))["revision"]
    except Malformed as wrong:
        raise Unanswered(f"it does not hold this gateway's bundle alone: {wrong}", _ONE_BUNDLE) from wrong
    if not isinstance(revision, str):
        raise Unanswered("the revision it reports is no string", _ONE_BUNDLE)
    return revision
