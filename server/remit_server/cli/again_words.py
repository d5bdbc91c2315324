"""What came of deciding records again, as JSON values and in words."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from remit_server.cli.audit_words import plain

if TYPE_CHECKING:
    from remit_server.application.policy.deciding.time_travel import Again

_SHOWN: Final = 300


def told_again(found: "Sequence[Again]") -> list[dict[str, Any]]:
    """Returns what came of each record, as JSON values."""
    return [
        {
            "record": one.sequence,
            "kind": one.kind,
            "policy_revision": one.revision,
            "verdict": one.verdict.value,
            "differences": [
                {"part": part.part, "recorded": part.recorded, "now": part.now} for part in one.differences
            ],
            "lacking": list(one.lacking),
            "refused_beside": one.beside,
        }
        for one in found
    ]


def again_words(told: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yields a line or more for each record that was decided again."""
    for one in told:
        where = f"  {'again':<12} #{one['record']} {one['kind']}: "
        match one["verdict"]:
            case "same":
                beside = f"; it was refused for what stood beside that ({plain(one['refused_beside'])})"
                yield (
                    f"{where}decided again under revision {one['policy_revision'][:12]}: the same, byte for byte"
                    f"{beside if one['refused_beside'] else ''}"
                )
            case "differs":
                yield f"{where}decided again under revision {one['policy_revision'][:12]}: NOT THE SAME"
                for part in one["differences"]:
                    yield f"  {'':<12}   {part['part']} on record: {_cut(part['recorded'])}"
                    yield f"  {'':<12}   {part['part']} now:       {_cut(part['now'])}"
            case _:
                yield f"{where}cannot be decided again: {plain('; '.join(one['lacking']))}"


def _cut(text: str) -> str:
    shown = plain(text)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
