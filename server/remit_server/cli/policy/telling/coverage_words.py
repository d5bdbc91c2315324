"""What a suite reaches: in words, and in the shape of `opa test --coverage --format json`."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from remit_server.adapters.rego.suite.coverage import Coverage, Share
from remit_server.cli.output import visible

_SHOWN = 20


def coverage_text(reached: Coverage) -> str:
    """Returns what was not covered, file by file, and the shares."""
    lines = [f"{path}:{_spans_told(missed)}: not covered" for path, missed in reached.missed.items() if missed]
    lines += [f"entitlement {visible(one)} is in no answer of any test" for one in reached.missed_entitlements]
    lines += [
        f"{path}:{line}: reason {visible(code)} is given in no test"
        for code, (path, line) in reached.missed_reasons.items()
    ]
    entitled = Share(len(reached.entitlements), len(reached.entitlements) + len(reached.missed_entitlements))
    written = len(reached.missed_reasons) + len(reached.reasons)
    shares = [
        f"{_told(reached.lines)} lines",
        f"{_told(entitled)} entitlements",
        f"{_told(Share(len(reached.reasons), written))} reasons",
    ]
    return "\n".join([*_bounded(lines), f"covered: {', '.join(shares)}"])


def coverage_json(reached: Coverage) -> str:
    """Returns the report as OPA writes it, with entitlements and reasons beside the files."""
    files: dict[str, Any] = {}
    for path, covered in reached.covered.items():
        share = reached.lines_of(path)
        files[path] = {
            "covered": [_range(*span) for span in _spans(covered)],
            "not_covered": [_range(*span) for span in _spans(reached.missed[path])],
            "covered_lines": share.covered,
            "not_covered_lines": share.all - share.covered,
            "coverage": round(share.percent, 2),
        }
    report = {
        "files": files,
        "covered_lines": reached.lines.covered,
        "not_covered_lines": reached.lines.all - reached.lines.covered,
        "coverage": round(reached.lines.percent, 2),
        "entitlements": {"covered": list(reached.entitlements), "not_covered": list(reached.missed_entitlements)},
        "reasons": {"covered": list(reached.reasons), "not_covered": sorted(reached.missed_reasons)},
    }
    return json.dumps(report, indent=2)


def _told(share: Share) -> str:
    """Returns `12 of 13 (92.31 %)`."""
    return f"{share.covered} of {share.all} ({share.percent:.2f} %)"


def _spans(lines: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yields the first and the last of each run of lines."""
    start: int | None = None
    for place, line in enumerate(lines):
        start = line if start is None else start
        if place + 1 == len(lines) or lines[place + 1] != line + 1:
            yield start, line
            start = None


def _spans_told(lines: Sequence[int]) -> str:
    """Returns `3-5, 9`."""
    told = [str(first) if first == last else f"{first}-{last}" for first, last in _spans(lines)]
    return ", ".join([*told[:_SHOWN], *(["..."] if len(told) > _SHOWN else [])])


def _range(first: int, last: int) -> dict[str, Any]:
    """Returns a run of lines as OPA writes it; ours has no columns."""
    return {"start": {"row": first}, "end": {"row": last}}


def _bounded(lines: list[str]) -> list[str]:
    """Returns at most so many lines that a person reads them."""
    return lines if len(lines) <= 10 * _SHOWN else [*lines[: 10 * _SHOWN], f"... and {len(lines) - 10 * _SHOWN} more"]
