"""One permission or capability as a line of text: `s3:GetObject=arn:...`, `s3.read_prefix bucket=...`, a short form."""

import re

from remit.errors import InvalidRequest
from remit.intent import Capability, Permission
from remit.intents.grammar import HIDDEN, check_capability, check_permission
from remit.intents.mistakes import wrong
from remit.intents.short_forms import SHORT_FORM, short_form, unknown_form

PERMISSION_FORM = "ACTION[,ACTION]=RESOURCE[,RESOURCE]"
PERMISSION_EXAMPLE = "s3:GetObject=arn:aws:s3:::reports/2026/*"
CAPABILITY_FORM = "NAME PARAMETER=VALUE ..."
CAPABILITY_EXAMPLE = 's3.read_prefix bucket=reports prefix=2026/q3/ (with spaces: prefix="2026/q 3/")'
LONGEST_TEXT = 65_536
_CAPABILITY_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\.[A-Za-z0-9_.]*")
_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)=(?:"([^"]*)"|([^\s"]*))(?=\s|\Z)')
# A key may hold a comma, so that only one before another ARN parts two resources.
_NEXT_RESOURCE = re.compile(r",\s*(?=arn:)")


def parse_text(text: str, path: str) -> Permission | Capability:
    """Reads one line; raises InvalidRequest with what is wrong, the nearest form and an example."""
    if HIDDEN.search(text):
        raise wrong(path, "holds control characters", example=PERMISSION_EXAMPLE)
    line = text.strip(" ")
    short = SHORT_FORM.fullmatch(line)
    if short is not None:
        verb, service, place = short.groups()
        return short_form(verb, service, place, path)
    word = line.split(" ", 1)[0]
    if "=" in word or ":" in word or "=arn:" in line:
        return _permission(line, path)
    if _CAPABILITY_NAME.fullmatch(word):
        return _capability(word, line[len(word) :], path)
    raise _unknown(line, path)


def _permission(line: str, path: str) -> Permission:
    actions, equals, resources = line.partition("=")
    if not equals or not resources.strip(" "):
        rule = "a permission says on what, after a '='"
        raise wrong(path, rule, form=PERMISSION_FORM, example=PERMISSION_EXAMPLE)
    patterns = [pattern.strip(" ") for pattern in _NEXT_RESOURCE.split(resources)]
    if any(re.search(r",\s*\*\Z", pattern) for pattern in patterns):
        # A key that ends with ",*", or a second resource "*"?
        raise wrong(
            path, "a resource that ends with ',*' can be read in two ways: give it in a text of its own, or as JSON"
        )
    return check_permission(Permission([action.strip(" ") for action in actions.split(",")], patterns), path)


def _capability(name: str, rest: str, path: str) -> Capability:
    parameters: dict[str, str] = {}
    at = 0
    for found in _PARAMETER.finditer(rest):
        if rest[at : found.start()].strip(" "):
            break
        key, quoted, bare = found.groups()
        if key in parameters:
            raise wrong(path, "gives a parameter twice", form=CAPABILITY_FORM, example=CAPABILITY_EXAMPLE)
        parameters[key] = quoted if quoted is not None else bare
        at = found.end()
    if rest[at:].strip(" "):
        rule = "after the name of a capability come its parameters, each as name=value"
        raise wrong(path, rule, form=CAPABILITY_FORM, example=CAPABILITY_EXAMPLE)
    return check_capability(Capability(name, **parameters), path)


def _unknown(line: str, path: str) -> InvalidRequest:
    """Returns the error for a text of no known form; a verb near one of the short forms leads to that."""
    rule = f"is neither a permission ({PERMISSION_FORM}) nor a capability ({CAPABILITY_FORM}) nor a short form"
    verb, _, place = line.partition(" ")
    return unknown_form(verb, place.strip(" ").partition(":")[0].partition("/")[0], path, rule)
