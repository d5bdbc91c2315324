"""A replay's report for a terminal."""

from collections.abc import Iterator

from remit_server.application.policy.replaying.report import Group, Report
from remit_server.cli.audit_words import plain
from remit_server.cli.policy.replaying import words


def lines(report: Report) -> Iterator[str]:
    """Yields the report line by line; whatever agents and authors wrote is made harmless to a terminal."""
    yield words.summary(report)
    yield ""
    yield f"candidate  {plain(report.candidate)}"
    for revision, count in report.baselines.items():
        yield f"on record  {plain(revision) or '(no revision)'}  {words.many(count, 'decision')}"
    yield f"range      {words.range_line(report)}"
    for count, told in words.verdict_lines(report):
        yield f"{count:>9,}  {told}"
    for remark in words.remarks(report):
        yield f"NOTE: {remark}"
    heading = ""
    for group in report.groups:
        if group.difference.value != heading:
            heading = group.difference.value
            yield ""
            yield f"{heading}: {group.difference.meaning}"
        yield from _group(group)


def _group(group: Group) -> Iterator[str]:
    yield ""
    role = f" on {plain(group.role_arn)}" if group.role_arn else ""
    yield f"  {words.who(group)}{role}"
    for sign, told in (("+", group.gained), ("-", group.lost), (" ", group.reasons)):
        for line in told:
            yield f"    {sign} {plain(line)}"
    example = group.example
    purpose = f' "{plain(example.purpose)}"' if example.purpose else ""
    yield (
        f"    e.g. record {example.sequence} at {words.time(example.time)}: {plain(example.subject_id)} "
        f"through {plain(example.actor_id)}{purpose}"
    )
    for line in example.shown:
        yield f"           {plain(line)}"
    if example.input_digest:
        yield f"         remit-server audit explain {plain(example.input_digest)}"
