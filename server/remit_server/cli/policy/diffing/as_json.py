"""A comparison as JSON for programs: the form is stable, documented in docs/policy-diff.md, and only grows."""

import json
from typing import Any, Final

from remit_server.application.comparing.values import Asker, Change, Comparison, Doubt, Example, Reach

FORM: Final = 1


def json_of(comparison: Comparison) -> str:
    """Returns the whole comparison as indented JSON."""
    looked = comparison.looked
    told = {
        "form": FORM,
        "before": comparison.before,
        "after": comparison.after,
        "verdict": comparison.verdict.value,
        "review": comparison.review,
        "changes": [*map(_reach, comparison.reaches), *map(_change, comparison.others)],
        "doubts": [_doubt(doubt) for doubt in comparison.doubts],
        "looked": {
            "groups": looked.groups,
            "groups_known": looked.groups_known,
            "askers": looked.askers,
            "questions": looked.questions,
            "intents": looked.intents,
            "held": list(looked.held),
        },
    }
    return json.dumps(told, indent=2, ensure_ascii=True) + "\n"


def _reach(reach: Reach) -> dict[str, Any]:
    return _change(reach.change) | {
        "groups": list(reach.groups),
        "askers": [_asker(asker) for asker in reach.askers],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "direction": change.direction.value,
        "what": change.what.value,
        "where": change.where,
        "entitlement": change.entitlement,
        "action": change.action,
        "resource": change.resource,
        "conditions": change.conditions,
        "before": change.before,
        "after": change.after,
        "example": _example(change.example) if change.example else None,
        "groups": [],
        "askers": [],
    }


def _example(example: Example) -> dict[str, Any]:
    return {
        "action": example.action,
        "resource": example.resource,
        "context": [{"condition": condition, "holds": holds} for condition, holds in example.context],
        "evaluated": example.evaluated,
        "engine": example.engine,
    }


def _asker(asker: Asker) -> dict[str, Any]:
    return {
        "issuer": asker.issuer,
        "actor": asker.actor,
        "actor_class": asker.actor_class,
        "labels": dict(asker.labels),
        "time": asker.time,
        "moment": asker.moment,
        "probe": asker.variation,
    }


def _doubt(doubt: Doubt) -> dict[str, Any]:
    return {"kind": doubt.kind.value, "text": doubt.text, "reviewable": doubt.kind.reviewable}
