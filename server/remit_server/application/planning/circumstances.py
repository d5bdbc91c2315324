"""What planning goes by beside policy's answer, kept with each decision so that it can be planned again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from remit_server.application.planning.above import GrantAbove, above_json, above_of
from remit_server.application.planning.lifetimes import TaskSpan
from remit_server.application.planning.plan_session import Wish
from remit_server.domain.capability import CapabilityTemplate, expand
from remit_server.domain.decision import KeptText, canonical_json, permission_json, permission_of
from remit_server.domain.errors import FieldViolation, InvalidRequest
from remit_server.domain.permission import Permission, is_within
from remit_server.domain.task import Capability

MAX_PAIRS = 500
MAX_CHARACTERS, MAX_WILDCARDS = 16_384, 500
VERSION = 1


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What was asked for, as it was asked, and every bound on how long it may work.

    `task` is None where the ask starts one; `token_end` bounds where the issuer says `bind_expiry`, `approval_end`
    where people said yes. `now` is when it was asked. `above` are the live grants of the task above within which the
    plan has to lie, None where the task is no other agent's.
    """

    permissions: tuple[Permission, ...]
    capabilities: tuple[Capability, ...]
    requested: timedelta | None
    narrowed: bool
    task: TaskSpan | None
    token_end: datetime | None
    approval_end: datetime | None
    now: datetime
    above: tuple[GrantAbove, ...] | None = None
    _kept: KeptText | None = field(default=None, init=False, compare=False, repr=False)

    def spelt_out(self, templates: Mapping[str, CapabilityTemplate]) -> tuple[Permission, ...]:
        """Returns the intent in permissions, its capabilities by this catalogue; raises InvalidRequest."""
        permissions = list(self.permissions)
        for index, capability in enumerate(self.capabilities):
            permissions += expand(capability, templates, path=f"intent.capabilities[{index}]")
        if not permissions:
            raise InvalidRequest([FieldViolation("intent", "needs at least one permission or capability")])
        if sum([len(item.actions) * len(item.resources) for item in permissions]) > MAX_PAIRS:
            rule = f"stands for more than {MAX_PAIRS} pairs of an action and a resource: ask in several requests"
            raise InvalidRequest([FieldViolation("intent", rule)])
        if not is_within(permissions, characters=MAX_CHARACTERS, wildcards=MAX_WILDCARDS):
            rule = f"has over {MAX_WILDCARDS} wildcards or {MAX_CHARACTERS} characters: ask in several requests"
            raise InvalidRequest([FieldViolation("intent", rule)])
        return tuple(permissions)

    def wish(self, permissions: Sequence[Permission]) -> Wish:
        """Returns what is planned for these permissions."""
        return Wish(
            permissions=tuple(permissions),
            requested=self.requested,
            narrowed=self.narrowed,
            task=self.task,
            token_end=self.token_end,
            now=self.now,
            approval_end=self.approval_end,
            above=self.above,
        )

    @property
    def kept(self) -> KeptText:
        """The one text of these circumstances, from which `circumstances_of` makes them again."""
        kept = self._kept
        if kept is None:
            kept = KeptText(self._text())
            object.__setattr__(self, "_kept", kept)
        return kept

    def _text(self) -> str:
        task, requested = self.task, self.requested
        above = {} if self.above is None else {"above": above_json(self.above)}
        return canonical_json(
            {
                "version": VERSION,
                "permissions": [permission_json(permission) for permission in self.permissions],
                "capabilities": [{"name": one.name, "parameters": dict(one.parameters)} for one in self.capabilities],
                "requested_seconds": None if requested is None else requested.total_seconds(),
                "narrow": self.narrowed,
                "task": None if task is None else [_text(task.start_time), _text(task.end_time)],
                "token_end": _text(self.token_end),
                "approval_end": _text(self.approval_end),
                "now": _text(self.now),
                **above,
            }
        )


@dataclass(frozen=True, slots=True)
class KeptSpan:
    """From when to when a task was bound to last."""

    start_time: datetime
    end_time: datetime


def circumstances_of(text: str) -> Circumstances:
    """Returns the circumstances that were kept as this text; raises ValueError for what is no such text."""
    try:
        return _circumstances(json.loads(text))
    except (KeyError, TypeError, AttributeError) as wrong:
        raise ValueError("the circumstances of a decision are not what a gateway keeps") from wrong


def _circumstances(raw: Mapping[str, Any]) -> Circumstances:
    if raw["version"] != VERSION:
        raise ValueError("the circumstances of a decision were kept by another version of the gateway")
    task, requested = raw["task"], raw["requested_seconds"]
    return Circumstances(
        permissions=tuple(permission_of(item) for item in raw["permissions"]),
        capabilities=tuple(Capability(item["name"], dict(item["parameters"])) for item in raw["capabilities"]),
        requested=None if requested is None else timedelta(seconds=requested),
        narrowed=raw["narrow"] is True,
        task=None if task is None else KeptSpan(*map(datetime.fromisoformat, task)),
        token_end=_time(raw["token_end"]),
        approval_end=_time(raw["approval_end"]),
        now=datetime.fromisoformat(raw["now"]),
        above=above_of(raw["above"]) if "above" in raw else None,
    )


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="microseconds")


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
