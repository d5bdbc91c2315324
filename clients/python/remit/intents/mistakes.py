"""What is wrong with the text of an intent, as the one error that says it: the rule, the nearest form, an example.

NOTE: the text itself is never repeated: it may come from anywhere, and the error goes into logs and models' contexts.
"""

from collections.abc import Iterable

from remit.errors import FieldViolation, InvalidRequest


def wrong(path: str, rule: str, *, form: str = "", example: str = "") -> InvalidRequest:
    """Returns the error for a text at `path` that breaks the rule."""
    told = [rule, *([f"the form is {form}"] if form else []), *([f"for example {example}"] if example else [])]
    return InvalidRequest.of(FieldViolation(path, "; ".join(told)))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Returns the known word that is most like this one, if one is like it."""
    import difflib  # noqa: PLC0415 - only mistakes need it

    return next(iter(difflib.get_close_matches(word[:64], list(known), n=1, cutoff=0.6)), None)
