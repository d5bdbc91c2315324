"""What others answer or send: STS, the policy engine, a bundle server; and operators' filters."""

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final
from xml.etree import ElementTree as ET

from tests.fuzz.target import ContractBroken, Target, linear, same, sure, text_of

from remit_server.adapters.aws.sts_protocol import MalformedAnswer, error_code, read_xml
from remit_server.adapters.policy.answers.admin_decision import admin_decision_of
from remit_server.adapters.policy.answers.decision import PolicyUnavailable, decision_of
from remit_server.adapters.policy.bundles.archive import archive_of_files, files_of_archive
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.strict_json import MalformedJson, strict_json
from remit_server.adapters.strict_yaml import MalformedYaml, strict_yaml
from remit_server.domain.administration import AdminAllow
from remit_server.domain.decision import Allow
from remit_server.domain.errors import InvalidRequest
from remit_server.domain.grant import GrantState
from remit_server.domain.grant_filter.reading import filter_of
from remit_server.domain.grant_filter.terms import AllOf, AnyOf, Comparison, Filter, IsSet, Not


def _sts(data: bytes) -> None:
    error_code(data)
    try:
        texts = read_xml(data)
    except MalformedAnswer:
        return
    if any(":" in place for place in texts):
        return  # the second reader takes what stands before a colon for a namespace that is declared
    # A second reader of the same bytes finds the same texts: no entity, no comment and no namespace changed one.
    same(dict(_elements(ET.fromstring(data, ET.XMLParser(encoding="utf-8")), "")), texts, "the answer")  # noqa: S314


def _elements(element: ET.Element, above: str) -> Iterator[tuple[str, str]]:
    place = f"{above}/{_tag(element)}" if above else _tag(element)
    yield place, (element.text or "") + "".join(child.tail or "" for child in element)
    for child in element:
        yield from _elements(child, place)


def _tag(element: ET.Element) -> str:
    return element.tag


def _sts_answers() -> Iterator[bytes]:
    yield (
        b"<AssumeRoleResponse><AssumeRoleResult><AssumedRoleUser><Arn>arn:aws:sts::111122223333:assumed-role/r/s</Arn>"
        b"</AssumedRoleUser><Credentials><AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><Expiration>2026-11-30T09:00:00Z"
        b"</Expiration></Credentials><PackedPolicySize>6</PackedPolicySize></AssumeRoleResult></AssumeRoleResponse>"
    )
    yield b"<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code></Error></ErrorResponse>"
    yield b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb">]><a>&b;</a>'
    yield b"<a><b/><b/></a>"
    yield b"<a><!-- c --><b x='1'>t<![CDATA[<]]>&amp;&#65;</b>u</a>"
    yield b"\xff\xfe<\0a\0/\0>\0"


def _decision(data: bytes) -> None:
    text = text_of(data)
    with suppress(PolicyUnavailable):
        decision = decision_of(text)
        sure("a yes is a yes to something", not isinstance(decision, Allow) or bool(decision.entitlements))
        same(isinstance(decision, Allow), json.loads(text)["allow"], "yes or no")
        same(decision_of(text), decision, "the decision, read twice")
    with suppress(PolicyUnavailable):
        same(isinstance(admin_decision_of(text), AdminAllow), json.loads(text)["allow"], "yes or no")


def _decisions() -> Iterator[bytes]:
    permission = {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::a/*"], "conditions": []}
    entitlement: dict[str, object] = {"id": "e", "role": "reports", "permissions": [permission], "capabilities": []}
    entitlement |= {"max_duration_seconds": 3600, "approval": None}
    reason = {"code": "no_group", "message": "No group.", "remedy": "GIVE_UP"}
    yield json.dumps({"allow": True, "entitlements": [entitlement], "reasons": []}).encode()
    yield json.dumps({"allow": False, "entitlements": [], "reasons": [reason]}).encode()
    yield json.dumps({"allow": True, "visible": [{"accounts": ["111122223333"]}, "own"], "reasons": []}).encode()
    yield json.dumps({"allow": False, "visible": None, "reasons": [reason]}).encode()
    yield b'{"allow":true,"entitlements":[],"reasons":[]}'
    yield b'{"allow":1,"allow":true,"x":"\\ud800"}'


def _json_and_yaml(data: bytes) -> None:
    text = text_of(data)
    with suppress(MalformedJson):
        value = strict_json(text, max_characters=10_000)
        again = json.dumps(value, ensure_ascii=False)
        same(strict_json(again, max_characters=100_000), value, "the value")
    with suppress(MalformedYaml):
        strict_yaml(text)


def _values() -> Iterator[bytes]:
    yield from (
        b'{"a":[1,2.5e3,"\\u00e9",null,true]}',
        b"[" * 2000,
        b'{"a":1,"a":2}',
        b"NaN",
        b"1" * 5000,
        b'"\\ud800"',
    )
    yield from (
        b"a: 1\nb: [x, {c: d}]\n",
        b"a: &x [*x]\n",
        b"? !!python/object:os.system {}\n",
        b"a: 1\na: 2\n",
        b"- - -",
    )


def _archive(data: bytes) -> None:
    """Reads a gzip as it is, and else a tar that is packed here, so that the fuzzer reaches what is inside."""
    packed = data if data[:2] == b"\x1f\x8b" else gzip.compress(data, compresslevel=1, mtime=0)
    try:
        files = files_of_archive(packed)
    except BundleRefused:
        return
    same(files_of_archive(archive_of_files(files)), files, "the files")
    if any(path.startswith("/") or ".." in path.split("/") for path in files):
        raise ContractBroken("a file lies outside of its bundle")
    # What is taken, Python's own reader reads alike.
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as tar:
        read = {_plain(each.name): tar.extractfile(each) for each in tar if each.isfile()}
        same({name: file.read() for name, file in read.items() if file}, files, "what tarfile reads")


def _plain(name: str) -> str:
    return name.removeprefix("./") if name.startswith("./") else name.removeprefix("/")


def _archives() -> Iterator[bytes]:
    files = {"remit/issue/issue.rego": b"package remit.issue\n", ".manifest": b'{"revision":""}', "data.json": b"{}"}
    packed = archive_of_files(files)
    yield packed
    yield gzip.decompress(packed)
    yield gzip.decompress(archive_of_files({"a/" * 3 + "b" * 180 + ".json": b"[]"}))
    for kind in (tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
        yield _tar_with(kind, tarfile.GNU_FORMAT)
    yield _tar_with(tarfile.REGTYPE, tarfile.USTAR_FORMAT)
    yield packed + packed


def _tar_with(kind: bytes, form: int) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as tar:
        member = tarfile.TarInfo("folder/../a")
        member.type, member.linkname = kind, "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
        tar.addfile(member)
    return made.getvalue()


def _filter(data: bytes) -> None:
    try:
        found = filter_of(text_of(data))
    except InvalidRequest:
        return
    if found is not None:
        same(filter_of(_written(found)), found, "the filter")


def _written(part: Filter) -> str:
    match part:
        case Comparison(field, operator, value):
            return f"{field} {operator} {_value(value)}"
        case IsSet(field):
            return f"{field}:*"
        case Not(term):
            return f"NOT ({_written(term)})" if isinstance(term, AllOf | AnyOf) else f"NOT {_written(term)}"
        case AllOf(terms) | AnyOf(terms):
            word = " AND " if isinstance(part, AllOf) else " OR "
            return word.join(
                f"({_written(each)})" if isinstance(each, AllOf | AnyOf) else _written(each) for each in terms
            )


def _value(value: object) -> str:
    match value:
        case GrantState():
            return value.value
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.astimezone(UTC).isoformat()
        case _:
            return '"' + "".join(f"\\{letter}" if letter in "\"'\\*" else letter for letter in str(value)) + '"'


def _filters() -> Iterator[bytes]:
    yield from (b'state = ISSUED AND subject.id = "alice"', b"NOT (break_glass = true OR actor != a)", b"revoke_time:*")
    yield from (b'issue_time > 2026-11-30T08:00:00.5+01:00 AND entitlements:"a\\*"', b"", b"access_key_id = ASIA1 OR")
    yield from (
        b"(" * 20,
        b"a = b",
        b"state = X",
        b"task_id = 'a\\'b'",
        b"actor = *",
        b"expire_time <= 0001-01-01T00:00:00+14:00",
    )


TARGETS: Final = (
    Target("sts_answer", _sts, _sts_answers, linear(300, 8)),
    Target("policy_decision", _decision, _decisions, linear(1_500, 12)),
    Target("strict_values", _json_and_yaml, _values, linear(1_500, 20)),
    Target("bundle_archive", _archive, _archives, linear(2_000, 12)),
    Target("grant_filter", _filter, _filters, linear(1_000, 20)),
)
