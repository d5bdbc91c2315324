"""The forms of a report, and what `--since` may say."""

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # imported where it is used, so that `--help` answers at once
    from remit_server.application.policy.replaying.report import Report

_AGO: Final = re.compile(r"(?P<count>\d{1,6})(?P<unit>[mhdw])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Format(StrEnum):
    """How a report is told."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"


def since_of(text: str, now: datetime) -> datetime:
    """Returns the time that `--since` means; raises ValueError for what is none."""
    if ago := _AGO.fullmatch(text):
        try:
            return now - timedelta(**{_UNITS[ago["unit"]]: int(ago["count"])})
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("--since takes 30d, 12h, or a day or time such as 2026-11-01") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def rendered(report: "Report", form: Format) -> str:
    """Returns the report as a text that ends with a newline."""
    match form:
        case Format.JSON:
            from remit_server.application.policy.replaying.report_json import report_text

            return report_text(report) + "\n"
        case Format.TEXT:
            from remit_server.cli.policy.replaying.text import lines

            return "\n".join(lines(report)) + "\n"
        case Format.MARKDOWN:
            from remit_server.cli.policy.replaying.markdown import markdown

            return markdown(report)
        case Format.HTML:
            from remit_server.cli.policy.replaying.page import page

            return page(report)
