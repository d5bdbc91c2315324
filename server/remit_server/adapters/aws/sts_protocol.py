"""The STS query protocol as pure functions: what an order becomes on the wire, and what an answer proves.

Source: AWS STS API reference, AssumeRole; limits in design as measured on botocore's `sts` model.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote
from xml.parsers import expat

from remit_server.domain.aws_names import dns_suffix_of, role_arn_of
from remit_server.domain.credentials import Credentials, SessionOrder, StsSession
from remit_server.domain.secret import Secret

API_VERSION: Final = "2011-06-15"
MAX_POLICY_CHARACTERS: Final = 2048
MAX_ANSWER_BYTES: Final = 65_536
CLOCK_SLACK: Final = timedelta(minutes=5)  # how far SigV4 lets two clocks differ

_SHORTEST_SECONDS, _LONGEST_SECONDS = 900, 43_200
_MAX_TAGS, _MAX_TAG_KEY, _MAX_TAG_VALUE = 50, 128, 256
_FULL_PERCENT: Final = 100
_MAX_ELEMENTS, _MAX_DEPTH = 64, 8
_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}", re.ASCII)
# NOTE: AWS takes every letter, space and digit of Unicode here; the tags are ours, and ASCII means the same everywhere.
_TAG_TEXT = re.compile(r"[A-Za-z0-9 _.:/=+@-]*", re.ASCII)
_ACCESS_KEY = re.compile(r"[A-Z0-9]{16,128}", re.ASCII)
_SECRET_KEY = re.compile(r"[\x21-\x7e]{16,256}", re.ASCII)
_SESSION_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}", re.ASCII)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z", re.ASCII)
_CODE = re.compile(r"[A-Za-z0-9.]{1,80}", re.ASCII)
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~%")  # and "%", done first
_PLAIN = re.compile("[A-Za-z0-9_.~-]*", re.ASCII)
_OUTSIDE_POLICY = re.compile("[^\t\n\r\x20-\xff]")


class MalformedAnswer(ValueError):  # noqa: N818 - named for what it says
    """The answer is not what STS says; the text names the part, never what it holds."""


def endpoint(region: str) -> str:
    """Returns the regional endpoint `https://sts.<region>.<suffix of its partition>`.

    Raises ValueError for what is no region's name: the host must not be a matter of a typing error.
    """
    return f"https://sts.{region}.{dns_suffix_of(region)}"


def assume_role_body(order: SessionOrder) -> bytes:
    """Returns the form body of an AssumeRole call, the same bytes at every retry; raises ValueError as `order_form`."""
    form = [*order_form("AssumeRole", order), ("SourceIdentity", order.source_identity)]
    for number, (key, value) in enumerate(order.tags, start=1):
        form += [(f"Tags.member.{number}.Key", key), (f"Tags.member.{number}.Value", value)]
    if order.role.external_id is not None:
        form.append(("ExternalId", order.role.external_id.reveal()))
    return encoded(form)


def order_form(action: str, order: SessionOrder) -> list[tuple[str, str]]:
    """Returns the parameters that every way to ask for the order has.

    Raises ValueError for an order that must not leave this process: above all one without a session policy, because
    STS would answer with the whole role.
    """
    role_arn_of(order.role.arn)
    _check(order)
    return [
        ("Action", action),
        ("Version", API_VERSION),
        ("RoleArn", order.role.arn),
        ("RoleSessionName", order.session_name),
        ("Policy", order.session_policy),
        ("DurationSeconds", str(order.duration_seconds)),
    ]


def encoded(form: Sequence[tuple[str, str]]) -> bytes:
    """Returns the parameters as a form body."""
    return "&".join(f"{key}={_quoted(value)}" for key, value in form).encode("ascii")


def _quoted(text: str) -> str:
    """Returns what `urllib.parse.quote` does, ASCII in half the time: it looks once for each character to replace."""
    if _PLAIN.fullmatch(text) is not None:
        return text
    if not text.isascii():
        return quote(text, safe="")
    quoted = text.replace("%", "%25")
    for character in set(text) - _UNRESERVED:
        quoted = quoted.replace(character, f"%{ord(character):02X}")
    return quoted


def _check(order: SessionOrder) -> None:
    """Raises ValueError naming the first part of the order that AWS would refuse, or worse, would not."""
    longest = min(_LONGEST_SECONDS, int(order.role.max_session.total_seconds()))
    keys = [key.lower() for key, _ in order.tags]
    rules = (
        (_has_statements(order.session_policy), "no STS call without a session policy that has statements"),
        (len(order.session_policy) <= MAX_POLICY_CHARACTERS, "the session policy is over 2,048 characters"),
        (not _OUTSIDE_POLICY.search(order.session_policy), "the session policy holds a character AWS does not take"),
        (_NAME.fullmatch(order.session_name) is not None, "not a session name"),
        (_NAME.fullmatch(order.source_identity) is not None, "not a source identity"),
        (not order.source_identity.lower().startswith("aws:"), "a source identity does not start with aws:"),
        (_SHORTEST_SECONDS <= order.duration_seconds <= longest, "duration outside 900 seconds and the role's longest"),
        (len(order.tags) <= _MAX_TAGS and len(set(keys)) == len(keys), "over 50 session tags, or a key twice"),
        (all(_is_tag(key, value) for key, value in order.tags), "a session tag that AWS does not take"),
    )
    for holds, rule in rules:
        if not holds:
            raise ValueError(rule)


def _has_statements(policy: str) -> bool:
    """Says whether the text is a JSON object with a non-empty list of statements."""
    try:
        document = json.loads(policy)
    except (ValueError, RecursionError):
        return False
    if not isinstance(document, dict):
        return False
    statements = document.get("Statement")
    return isinstance(statements, list | dict) and bool(statements)


def _is_tag(key: str, value: str) -> bool:
    """Says whether AWS takes this session tag."""
    fits = 0 < len(key) <= _MAX_TAG_KEY and len(value) <= _MAX_TAG_VALUE
    plain = _TAG_TEXT.fullmatch(key) is not None and _TAG_TEXT.fullmatch(value) is not None
    return fits and plain and not key.lower().startswith("aws:")


def _refuse_doctype(*_: object) -> None:
    """Refuses a document type: with it come entities, which grow (CWE-776) and fetch (CWE-611)."""
    raise MalformedAnswer("a document type declaration")


def read_xml(body: bytes) -> dict[str, str]:
    """Returns the text of each element by its path, for example `ErrorResponse/Error/Code`.

    Raises MalformedAnswer for anything but small, plain, well-formed UTF-8 XML without a document type.
    """
    if len(body) > MAX_ANSWER_BYTES:
        raise MalformedAnswer("too long")
    if b"\0" in body:  # NOTE: expat takes it for UTF-16, whatever encoding it is told
        raise MalformedAnswer("a byte that no XML in UTF-8 has")
    texts: dict[str, str] = {}
    inside = [""]  # the path below each open element

    def start(name: str, _: object) -> None:
        place = f"{inside[-1]}{name}"
        inside.append(f"{place}/")
        if place in texts or len(inside) > _MAX_DEPTH + 1 or len(texts) >= _MAX_ELEMENTS:
            raise MalformedAnswer("an element stands twice, too deep, or among too many")
        texts[place] = ""

    def text(data: str) -> None:
        texts[inside[-1][:-1]] += data

    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: inside.pop()
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(body, True)  # noqa: FBT003 - expat's "this is all"
    except (expat.ExpatError, ValueError) as wrong:
        raise MalformedAnswer("not the XML of an STS answer") from wrong
    return texts


def error_code(body: bytes) -> str | None:
    """Returns the code of an STS error answer, or None when the body is none."""
    try:
        code = read_xml(body).get("ErrorResponse/Error/Code", "")
    except MalformedAnswer:
        return None
    return code if _CODE.fullmatch(code) else None


def session_from(body: bytes, order: SessionOrder, now: datetime) -> StsSession:
    """Returns the session that the answer to this order holds.

    Raises MalformedAnswer unless it names this role and session, its credentials have AWS's form and they end in the
    future, at most `duration_seconds` (and what clocks may differ) from `now`.
    """
    return session_in(read_xml(body), "AssumeRoleResponse/AssumeRoleResult", order, now)


def session_in(texts: Mapping[str, str], result: str, order: SessionOrder, now: datetime) -> StsSession:
    """Returns the session in the element `result`, checked as `session_from` says; raises MalformedAnswer."""
    if texts.get(f"{result}/AssumedRoleUser/Arn") != role_arn_of(order.role.arn).session(order.session_name):
        raise MalformedAnswer("it is about another role or session")
    if texts.get(f"{result}/SourceIdentity", order.source_identity) != order.source_identity:
        raise MalformedAnswer("it is about another source identity")
    keys = f"{result}/Credentials"
    access_key_id = _matching(_ACCESS_KEY, texts.get(f"{keys}/AccessKeyId"), "access key id")
    secret = Secret(_matching(_SECRET_KEY, texts.get(f"{keys}/SecretAccessKey"), "secret access key"))
    token = Secret(_matching(_SESSION_TOKEN, texts.get(f"{keys}/SessionToken"), "session token"))
    expire_time = _time(_matching(_TIME, texts.get(f"{keys}/Expiration"), "expiration"))
    if not now < expire_time <= now + timedelta(seconds=order.duration_seconds) + CLOCK_SLACK:
        raise MalformedAnswer("an expiration that was not asked for")
    packed = _percent(texts.get(f"{result}/PackedPolicySize"))
    return StsSession(Credentials(access_key_id, secret, token, expire_time), packed)


def _matching(pattern: re.Pattern[str], text: str | None, what: str) -> str:
    """Returns the text if it is there and has the form; raises MalformedAnswer."""
    if text is None or pattern.fullmatch(text) is None:
        raise MalformedAnswer(f"no {what}, or not one of AWS's form")
    return text


def _time(text: str) -> datetime:
    """Returns the UTC time; raises MalformedAnswer for a day that does not exist."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as wrong:
        raise MalformedAnswer("no such time") from wrong


def _percent(text: str | None) -> int | None:
    """Returns how full the packed policy was, or None when the answer does not say."""
    if text is None:
        return None
    if re.fullmatch(r"[0-9]{1,3}", text, re.ASCII) is None or int(text) > _FULL_PERCENT:
        raise MalformedAnswer("no percentage of the packed policy")
    return int(text)
