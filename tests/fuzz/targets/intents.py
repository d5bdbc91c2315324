"""What the client reads: texts of intents, their JSON form, and the settings file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.fuzz.target import Target, linear, same, text_of

from remit.errors import InvalidRequest
from remit.intents import details_of, intent_of, parse_allow
from remit.intents import text_of as line_of
from remit.local.errors import InvalidSettings
from remit.local.settings import parse_settings


def _text(data: bytes) -> None:
    try:
        item = parse_allow(text_of(data))
    except InvalidRequest:
        return
    same(parse_allow(line_of(item)), item, "what is asked for")


def _texts() -> Iterator[bytes]:
    yield from (b"s3:GetObject=arn:aws:s3:::reports/2026/*", b"s3:Get*,s3:List*=arn:aws:s3:::a,arn:aws:s3:::a/*", b"=*")
    yield from (
        b's3.read_prefix bucket=reports prefix="2026/q 3/"',
        b"read s3://reports/2026/",
        b"write dynamodb:orders",
    )
    yield from (b"s3:GetObject=arn:aws:s3:::a,*", b"s3.read_prefix bucket=*", b"@/etc/passwd", b"logs:Get*=*")
    yield from _jsons()


def _details(data: bytes) -> None:
    try:
        intent = intent_of(text_of(data))
    except InvalidRequest:
        return
    same(intent_of(details_of(intent)), intent, "the intent")


def _jsons() -> Iterator[bytes]:
    permission: dict[str, object] = {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::a/*"]}
    permission |= {"conditions": [{"operator": "StringLike", "key": "s3:prefix", "values": ["a/*"]}]}
    capability = {"name": "s3.read_prefix", "parameters": {"bucket": "reports", "prefix": "2026/"}}
    whole = {"type": "remit_task", "purpose": "Report", "permissions": [permission], "capabilities": [capability]}
    yield json.dumps([{**whole, "labels": {"team": "reports"}}]).encode()
    yield json.dumps({"type": "remit_task", "capabilities": [capability]}).encode()
    yield b'{"type":"remit_task","type":"remit_task"}'
    yield b"[" * 3000
    yield b'{"Version":"2012-10-17","Statement":[]}'
    yield b"[1" + b"0" * 5000 + b"]"


def _settings(data: bytes) -> None:
    try:
        settings = parse_settings(text_of(data), Path("remit.toml"))
    except InvalidSettings:
        return
    same(parse_settings(text_of(data), Path("remit.toml")), settings, "the settings, read twice")


def _files() -> Iterator[bytes]:
    yield b'[gateway]\ntarget = "remit.example:8443"\nbearer = "file:/run/token"\n[subject]\ntoken = "login"\n'
    yield b'[profiles.report]\npurpose = "Report"\nallow = ["read s3://reports/"]\nduration = "1h"\nnarrow = true\n'
    yield b'[profiles.a.labels]\nteam = "x"\n[login]\nissuer = "https://idp.example"\nclient_id = "remit"\n[mcp]\n'
    yield b"a = 1979-05-27T07:32:00Z\nb = [1, 2.5, {c = nan}]\n"


TARGETS: Final = (
    Target("intent_text", _text, _texts, linear(2_000, 20)),
    Target("intent_details", _details, _jsons, linear(2_000, 20)),
    Target("client_settings", _settings, _files, linear(2_000, 20)),
)
