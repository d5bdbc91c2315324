"""Times that stand for all others: one for each set of weekly hours that can be open together."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Hours = tuple[tuple[str, ...], str, str, str]
"""Days, from, to, time zone: what an entitlement's `hours` say."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, what people call it, and the hours that are open at it."""

    text: str
    name: str
    windows: frozenset[Hours] = frozenset()


ANY_TIME: Final = Moment("2026-01-14T12:00:00Z", "at any time")
# A week in winter and one in summer come first; others are asked about where the zones' clocks stand otherwise.
_WEEKS: Final = (date(2026, 1, 12), date(2026, 7, 13), *(date(2026, 1, 5) + timedelta(weeks=at) for at in range(52)))
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def moments(hours: Iterable[Hours]) -> tuple[tuple[Moment, ...], tuple[str, ...]]:
    """Returns a moment for each set of hours that are open together, and the time zones that are not known.

    Which are open only changes where one begins or ends, so those moments of a week are all that need asking.
    """
    known: list[Hours] = []
    unknown: set[str] = set()
    for window in sorted(set(hours)):
        try:
            ZoneInfo(window[3])
        except (ZoneInfoNotFoundError, ValueError, OSError):
            unknown.add(window[3])
        else:
            known.append(window)
    found: dict[frozenset[Hours], str] = {}
    weeks = _weeks(sorted({window[3] for window in known}))
    for moment in sorted({edge for window in known for edge in _edges(window, weeks)}):
        found.setdefault(frozenset(window for window in known if _is_open(window, moment)), _text(moment))
    if not known:
        return (ANY_TIME,), tuple(sorted(unknown))
    told = (Moment(text, _named(windows), windows) for windows, text in found.items())
    return tuple(sorted(told, key=lambda moment: moment.text)), tuple(sorted(unknown))


def _weeks(zones: Iterable[str]) -> tuple[date, ...]:
    """Returns a week, by its Monday, for each way in which the zones' clocks stand to each other within a year.

    Summer time begins and ends on other days in other places: between them the same hours are not the same.
    """
    known = [ZoneInfo(zone) for zone in zones]
    found: dict[tuple[timedelta | None, ...], date] = {}
    for monday in _WEEKS:
        midweek = datetime.combine(monday + timedelta(days=2), time(12), UTC)
        found.setdefault(tuple(midweek.astimezone(zone).utcoffset() for zone in known), monday)
    return tuple(found.values())


def _edges(window: Hours, weeks: Iterable[date]) -> Iterator[datetime]:
    """Yields when the hours begin and end, in each of the weeks."""
    days, start, end, zone = window
    for monday in weeks:
        for day in days:
            on = monday + timedelta(days=_DAYS.index(day))
            for clock in (start, end):
                yield datetime.combine(on, time.fromisoformat(clock), ZoneInfo(zone)).astimezone(UTC)


def _is_open(window: Hours, moment: datetime) -> bool:
    """Says whether a moment falls within hours; the beginning belongs to them, the end does not."""
    days, start, end, zone = window
    there = moment.astimezone(ZoneInfo(zone))
    return _DAYS[there.weekday()] in days and start <= f"{there:%H:%M}" < end


def _named(windows: frozenset[Hours]) -> str:
    """Returns what people call a time at which just these hours are open."""
    if not windows:
        return "outside all hours"
    told = (f"{', '.join(days)} {start}-{end} {zone}" for days, start, end, zone in sorted(windows))
    return f"within {' and '.join(told)}"


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
