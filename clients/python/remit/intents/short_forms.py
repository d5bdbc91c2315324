"""The short forms, such as `read s3://reports/2026/q3/*`: a closed set, each for one thing of the catalogue."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from remit.errors import InvalidRequest
from remit.intent import Capability, Permission
from remit.intents.grammar import check_capability, check_permission
from remit.intents.mistakes import nearest, wrong

SHORT_FORM = re.compile(r"([A-Za-z]{1,32}) +([A-Za-z0-9]{1,32})://(.*)", re.DOTALL)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}")
_ACCOUNT = re.compile(r"[0-9]{12}")
_PATTERN = re.compile(r"[*?]")
Read = Callable[[str], Permission | Capability]


class _UnfitError(ValueError):
    """Says what is wrong with the place that a short form names."""


@dataclass(frozen=True, slots=True)
class ShortForm:
    """One short form: how its place is written, an example that parses, and what it comes to."""

    place: str
    example: str
    read: Read


def _s3(place: str) -> tuple[str, str]:
    """Returns bucket and the rest of an s3:// place."""
    bucket, _, rest = place.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise _UnfitError("begins with a bucket's name, literally (3 to 63 of a-z, 0-9, '.', '-')")
    return bucket, rest


def _below(rest: str) -> str | None:
    """Returns the prefix of a place that ends with `/*`; None for one object's key. `*` alone is the empty prefix."""
    prefix = rest.removesuffix("*")
    if prefix != rest and (not prefix or prefix.endswith("/")):
        if _PATTERN.search(prefix):
            raise _UnfitError("takes * only as its end, after a '/': all else is literal")
        return prefix
    if _PATTERN.search(rest):
        raise _UnfitError("takes * only as its end, after a '/': all else is literal")
    return None


def _of_objects(capability_of_prefix: str, capability_of_key: str | None, action: str) -> Read:
    """Returns how a form reads that means one object, all below a prefix, or a whole bucket."""

    def read(place: str) -> Permission | Capability:
        bucket, rest = _s3(place)
        prefix = _below(rest)
        if prefix:
            return Capability(capability_of_prefix, bucket=bucket, prefix=prefix)
        if prefix is None and (not rest or rest.endswith("/")):
            raise _UnfitError("names one object, or all below a prefix by '/*' at its end")
        if prefix is None and capability_of_key:
            return Capability(capability_of_key, bucket=bucket, key=rest)
        return Permission(action, f"arn:aws:s3:::{bucket}/{'*' if prefix is not None else rest}")

    return read


def _listing(place: str) -> Permission | Capability:
    bucket, rest = _s3(place)
    prefix = rest if rest.endswith("/") and not _PATTERN.search(rest) else _below(rest)
    if prefix:
        return Capability("s3.list_prefix", bucket=bucket, prefix=prefix)
    if rest not in {"", "*"}:
        raise _UnfitError("is a bucket, or a prefix that ends with '/' or '/*'")
    return Permission("s3:ListBucket", f"arn:aws:s3:::{bucket}")


def _deleting(place: str) -> Capability:
    bucket, rest = _s3(place)
    if not rest or rest.endswith("/") or _PATTERN.search(rest):
        raise _UnfitError("names one object, literally")
    return Capability("s3.delete_object", bucket=bucket, key=rest)


def _regional(place: str) -> tuple[dict[str, str], str]:
    """Returns region and account as parameters, and what follows them."""
    region, _, rest = place.partition("/")
    account, _, name = rest.partition("/")
    if not (_REGION.fullmatch(region) and _ACCOUNT.fullmatch(account)):
        raise _UnfitError("begins with a region and an account of twelve digits, literally")
    if not name:
        raise _UnfitError("ends with a name")
    return {"region": region, "account": account}, name


def _named(capability: str, parameter: str, *, then: str = "", after: str = "") -> Read:
    """Returns how a form reads that names one thing of a region and account, maybe with a part of it `after`."""

    def read(place: str) -> Capability:
        parameters, name = _regional(place)
        if _PATTERN.search(name):
            raise _UnfitError("is literal: no * and no ?")
        head, separator, tail = name.partition(after) if after else (name, "", "")
        parameters[parameter] = head
        if separator:
            parameters[then] = tail
        return Capability(capability, **parameters)

    return read


def _reading_parameters(place: str) -> Capability:
    parameters, name = _regional(place)
    prefix = _below(name)
    if prefix:
        return Capability("ssm.read_path", path=prefix, **parameters)
    if prefix is not None:
        raise _UnfitError("names a parameter, or a path by '/*' at its end")
    return Capability("ssm.read_parameter", name=name, **parameters)


def _table_of_glue(place: str) -> Capability:
    parameters, name = _regional(place)
    database, separator, table = name.partition("/")
    if not separator or _PATTERN.search(name):
        raise _UnfitError("ends with a database and a table, literally")
    return Capability("glue.read_table", database=database, table=table, **parameters)


def _model(place: str) -> Capability:
    region, _, model = place.partition("/")
    if not _REGION.fullmatch(region) or not model or _PATTERN.search(model):
        raise _UnfitError("is a region and a model's id, literally")
    return Capability("bedrock.invoke_model", region=region, model=model)


_OBJECTS = "BUCKET/KEY or BUCKET/PREFIX/* or BUCKET/*"
_HERE = "eu-central-1/111122223333"
SHORT_FORMS: dict[tuple[str, str], ShortForm] = {
    ("read", "s3"): ShortForm(
        _OBJECTS, "reports/2026/q3/*", _of_objects("s3.read_prefix", "s3.read_object", "s3:GetObject")
    ),
    ("list", "s3"): ShortForm("BUCKET or BUCKET/PREFIX/*", "reports/2026/q3/*", _listing),
    ("write", "s3"): ShortForm(_OBJECTS, "reports/drafts/*", _of_objects("s3.write_prefix", None, "s3:PutObject")),
    ("delete", "s3"): ShortForm("BUCKET/KEY", "reports/drafts/q4.md", _deleting),
    ("read", "dynamodb"): ShortForm(
        "REGION/ACCOUNT/TABLE or REGION/ACCOUNT/TABLE/PARTITION-KEY",
        f"{_HERE}/orders",
        _named("dynamodb.read_items", "table", then="leading_key", after="/"),
    ),
    ("write", "dynamodb"): ShortForm(
        "REGION/ACCOUNT/TABLE or REGION/ACCOUNT/TABLE/PARTITION-KEY",
        f"{_HERE}/orders/customer-7",
        _named("dynamodb.write_items", "table", then="leading_key", after="/"),
    ),
    ("read", "secret"): ShortForm(
        "REGION/ACCOUNT/NAME", f"{_HERE}/app/database", _named("secretsmanager.read_secret", "name")
    ),
    ("read", "ssm"): ShortForm(
        "REGION/ACCOUNT/NAME or REGION/ACCOUNT/PATH/*", f"{_HERE}/app/web/*", _reading_parameters
    ),
    ("write", "ssm"): ShortForm(
        "REGION/ACCOUNT/NAME", f"{_HERE}/app/web/colour", _named("ssm.write_parameter", "name")
    ),
    ("send", "sqs"): ShortForm("REGION/ACCOUNT/QUEUE", f"{_HERE}/jobs", _named("sqs.send_messages", "queue")),
    ("receive", "sqs"): ShortForm("REGION/ACCOUNT/QUEUE", f"{_HERE}/jobs", _named("sqs.receive_messages", "queue")),
    ("publish", "sns"): ShortForm("REGION/ACCOUNT/TOPIC", f"{_HERE}/news", _named("sns.publish_messages", "topic")),
    ("invoke", "lambda"): ShortForm(
        "REGION/ACCOUNT/FUNCTION or REGION/ACCOUNT/FUNCTION:QUALIFIER",
        f"{_HERE}/resize:live",
        _named("lambda.invoke_function", "function", then="qualifier", after=":"),
    ),
    ("invoke", "bedrock"): ShortForm("REGION/MODEL", "eu-central-1/amazon.nova-lite-v1:0", _model),
    ("query", "athena"): ShortForm(
        "REGION/ACCOUNT/WORKGROUP", f"{_HERE}/analysts", _named("athena.run_queries", "workgroup")
    ),
    ("read", "glue"): ShortForm("REGION/ACCOUNT/DATABASE/TABLE", f"{_HERE}/sales/orders", _table_of_glue),
}
KNOWN = ", ".join(f"{verb} {service}://" for verb, service in SHORT_FORMS)


def short_form(verb: str, service: str, place: str, path: str) -> Permission | Capability:
    """Returns what a short form comes to; raises InvalidRequest for an unknown one, listing those that are known."""
    form = SHORT_FORMS.get((verb, service))
    if form is None:
        raise unknown_form(verb, service, path, "is no short form")
    shown = {"form": f"{verb} {service}://{form.place}", "example": f"{verb} {service}://{form.example}"}
    try:
        item = form.read(place)
    except _UnfitError as unfit:
        raise wrong(path, f"the place of {verb} {service}:// {unfit}", **shown) from None
    return check_capability(item, path) if isinstance(item, Capability) else check_permission(item, path)


def unknown_form(verb: str, service: str, path: str, rule: str) -> InvalidRequest:
    """Returns the error for what is no short form, listing those that are, with the nearest and its example."""
    told = f"{rule}: the short forms are {KNOWN}"
    near = _nearest_form(verb.lower(), service.lower())
    if near is None:
        return wrong(path, told, example=f"read s3://{SHORT_FORMS['read', 's3'].example}")
    form, (word, name) = SHORT_FORMS[near], near
    return wrong(
        path, f"{told}; the nearest is {word} {name}://{form.place}", example=f"{word} {name}://{form.example}"
    )


def _nearest_form(verb: str, service: str) -> tuple[str, str] | None:
    """Returns the short form of the same service whose verb is nearest, else the first one with the nearest verb."""
    verbs = [word for word, name in SHORT_FORMS if name == service]
    if verbs:
        return nearest(verb, verbs) or verbs[0], service
    near = nearest(verb, [word for word, _ in SHORT_FORMS])
    return next((form for form in SHORT_FORMS if form[0] == near), None)
