"""Every form of an intent, read by one parser wherever it is written: `--allow`, `allow=`, an MCP tool's arguments."""

from collections.abc import Iterable

from remit.intent import Capability, Permission
from remit.intents.grammar import MOST_CAPABILITIES, MOST_LABELS, MOST_PERMISSIONS
from remit.intents.mistakes import wrong
from remit.intents.task_intent import TaskIntent
from remit.intents.texts import LONGEST_TEXT, PERMISSION_EXAMPLE, parse_text

_MOST_TEXTS = 100


def parse_allow(text: str, *, path: str = "allow", files: bool = False) -> Permission | Capability:
    """Returns what one text asks for; raises InvalidRequest for none, and for JSON that asks for several things.

    `files` lets `@intent.json` name a file to read: for command lines only, never for a text that a model wrote.
    """
    items = _allowed(text, path, files=files)
    if len(items) != 1:
        raise wrong(path, "asks for several things where one belongs")
    return items[0]


def parse_allows(texts: Iterable[str], *, first: int = 0, files: bool = False) -> tuple[Permission | Capability, ...]:
    """Returns what all the texts ask for, in their order; raises InvalidRequest that says which one is wrong.

    They are counted from `first`, for texts that stand among others.
    JSON with a purpose or labels is refused here, so that nothing of it is lost: `intent_of` reads those.
    """
    items = tuple(
        item
        for index, text in enumerate(_listed(texts), first)
        for item in _allowed(text, f"allow[{index}]", files=files)
    )
    _check_counts(items)
    return items


def intent_of(texts: str | Iterable[str], *, files: bool = False) -> TaskIntent:
    """Returns one intent of all the texts; at most one may say a purpose, and no two the same label."""
    purpose: str | None = None
    items: list[Permission | Capability] = []
    labels: dict[str, str] = {}
    for index, text in enumerate([texts] if isinstance(texts, str) else _listed(texts)):
        path = f"allow[{index}]"
        part = _part(text, path, files=files)
        if part.purpose is not None and purpose is not None:
            raise wrong(path, "says a purpose where an earlier one does")
        if labels.keys() & part.labels.keys():
            raise wrong(path, "gives a label that an earlier one gives")
        purpose = part.purpose if part.purpose is not None else purpose
        labels.update(part.labels)
        items.extend(part.allow)
    _check_counts(items)
    if len(labels) > MOST_LABELS:
        raise wrong("labels", f"there are at most {MOST_LABELS} labels")
    return TaskIntent(
        purpose,
        tuple(item for item in items if isinstance(item, Permission)),
        tuple(item for item in items if isinstance(item, Capability)),
        labels,
    )


def _listed(texts: Iterable[str]) -> list[str]:
    """Returns the texts; TypeError for one string where a list belongs."""
    if isinstance(texts, str):
        raise TypeError("texts is a list of strings")
    listed = list(texts)
    if len(listed) > _MOST_TEXTS:
        raise wrong("allow", f"there are at most {MOST_PERMISSIONS} permissions and {MOST_CAPABILITIES} capabilities")
    return listed


def _check_counts(items: Iterable[Permission | Capability]) -> None:
    """Refuses more than one intent may hold."""
    permissions = sum(isinstance(item, Permission) for item in items)
    if permissions > MOST_PERMISSIONS or sum(isinstance(item, Capability) for item in items) > MOST_CAPABILITIES:
        rule = f"there are at most {MOST_PERMISSIONS} permissions and {MOST_CAPABILITIES} capabilities in one intent"
        raise wrong("allow", rule)


def _allowed(text: str, path: str, *, files: bool) -> tuple[Permission | Capability, ...]:
    """Returns what one text asks for, which says nothing beside that."""
    part = _part(text, path, files=files)
    if part.purpose is not None or part.labels:
        rule = (
            "says a purpose or labels, which are no part of what is allowed: read it with remit.intent_of(...) and "
            "pass purpose, allow=intent.allow and labels=intent.labels"
        )
        raise wrong(path, rule)
    return part.allow


def _part(text: str, path: str, *, files: bool) -> TaskIntent:
    """Reads one text of any form."""
    if not isinstance(text, str):
        raise TypeError("the text of an intent is a string")
    if len(text) > LONGEST_TEXT:
        raise wrong(path, f"is longer than {LONGEST_TEXT} characters")
    written = text.strip(" \t\r\n")
    if written.startswith("@"):
        written, path = _file(written[1:], path, files=files), f"{path} (the file)"
    elif not written:
        raise wrong(path, "is empty", example=PERMISSION_EXAMPLE)
    if written.startswith(("{", "[")):
        from remit.intents.details import parse_details  # noqa: PLC0415 - only this form needs json

        return parse_details(written, path)
    item = parse_text(text, path)
    return TaskIntent(
        permissions=(item,) if isinstance(item, Permission) else (),
        capabilities=(item,) if isinstance(item, Capability) else (),
    )


def _file(name: str, path: str, *, files: bool) -> str:
    """Returns the text of a file that holds JSON."""
    if not files:
        rule = "@FILE is for command lines: give the JSON itself"
        raise wrong(path, rule, example=PERMISSION_EXAMPLE)
    try:
        with open(name, "rb") as file:  # noqa: PTH123 - pathlib takes longer to import than this parser
            content = file.read(LONGEST_TEXT + 1)
        text = content.decode("utf-8").strip(" \t\r\n")
    except OSError as error:
        raise wrong(path, f"the file cannot be read: {error.strerror}") from error
    except ValueError:
        raise wrong(path, "the file is not UTF-8 text") from None
    if len(content) > LONGEST_TEXT:
        raise wrong(path, f"the file is longer than {LONGEST_TEXT} bytes")
    if not text.startswith(("{", "[")):
        from remit.intents.details import EXAMPLE  # noqa: PLC0415 - only this form needs json

        raise wrong(path, "the file holds no JSON of an intent", example=EXAMPLE)
    return text
