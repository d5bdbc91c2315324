"""What an OPA must not be believed: answers that are none, each under the name of what is wrong with it."""

import asyncio
import gzip
import json
import struct
from typing import Any

from tests.fake_opa import FakeOpa, Script, http, says
from tests.policy_bundles import ENTITLEMENT, YES


def body(result: Any) -> Script:
    """Returns a script whose answer is whole but for the decision in it."""

    async def script(opa: FakeOpa, writer: asyncio.StreamWriter) -> None:
        writer.write(http(opa.body(result)))

    return script


def around(**changes: Any) -> Script:
    """Returns a script whose answer holds a yes with something else around it; None takes a member out."""

    async def script(opa: FakeOpa, writer: asyncio.StreamWriter) -> None:
        whole = opa.body(**changes)
        writer.write(http({name: value for name, value in whole.items() if value is not None}))

    return script


def provenance(**changes: Any) -> Script:
    """Returns a script whose answer says something else of the OPA; None takes a member out."""

    async def script(opa: FakeOpa, writer: asyncio.StreamWriter) -> None:
        said = {name: value for name, value in {**opa.provenance(), **changes}.items() if value is not None}
        writer.write(http({**opa.body(), "provenance": said}))

    return script


def text(of: str) -> Script:
    """Returns a script that writes a text as the body; YES and PROVENANCE in it are what a good answer has there."""

    async def script(opa: FakeOpa, writer: asyncio.StreamWriter) -> None:
        filled = of.replace("YES", json.dumps(YES)).replace("PROVENANCE", json.dumps(opa.provenance()))
        writer.write(http(filled.encode("utf-8", "surrogatepass")))

    return script


def sent(*headers: str, status: str = "200 OK", packed: bool = False) -> Script:
    """Returns a script that says yes under other headers."""

    async def script(opa: FakeOpa, writer: asyncio.StreamWriter) -> None:
        content = json.dumps(opa.body()).encode()
        writer.write(http(gzip.compress(content) if packed else content, status, *headers))

    return script


# --- A body that is no decision (8-threats.md O1) ---

_WHEREVER = {"resources": ["*"], "conditions": []}
_ONE = {**YES, "entitlements": [ENTITLEMENT]}
BODIES: dict[str, Script] = {
    "undefined": around(result=None),
    "null": body(None),
    "an empty object": body({}),
    "true": text('{"result": true, "provenance": PROVENANCE}'),
    "one": body(1),
    "a text": body("true"),
    "an empty list": body([]),
    "a list around a yes": body([YES]),
    "allow alone": body({"allow": True}),
    "allow as a text": body({**YES, "allow": "true"}),
    "allow as a number": body({**YES, "allow": 1}),
    "allow as null": body({**YES, "allow": None}),
    "allow in capitals": body({"Allow": True, "entitlements": [ENTITLEMENT], "reasons": []}),
    "a further member": body({**YES, "admin": True}),
    "no reasons": body({"allow": True, "entitlements": [ENTITLEMENT]}),
    "no entitlements": body({**YES, "entitlements": []}),
    "entitlements as an object": body({**YES, "entitlements": {"0": ENTITLEMENT}}),
    "an entitlement twice": body({**YES, "entitlements": [ENTITLEMENT, ENTITLEMENT]}),
    "an entitlement without permissions": body({**YES, "entitlements": [{**ENTITLEMENT, "permissions": []}]}),
    "a permission of everything but": body(
        {**YES, "entitlements": [{**ENTITLEMENT, "permissions": [{"not_actions": ["iam:*"], **_WHEREVER}]}]}
    ),
    "a permission in IAM's own words": body(
        {
            **YES,
            "entitlements": [{**ENTITLEMENT, "permissions": [{"NotAction": ["iam:*"], "actions": ["*"], **_WHEREVER}]}],
        }
    ),
    "an entitlement with a further member": body({**YES, "entitlements": [{**ENTITLEMENT, "x": 1}]}),
    "a yes with a reason against it": body({**_ONE, "reasons": [{"code": "a", "message": "b", "remedy": "GIVE_UP"}]}),
    "a no without a reason": body({"allow": False, "entitlements": [], "reasons": []}),
    "a no with entitlements": body({"allow": False, "entitlements": [ENTITLEMENT], "reasons": []}),
    "a lifetime that is a fraction": body({**YES, "entitlements": [{**ENTITLEMENT, "max_task_seconds": 0.5}]}),
    "NaN": text('{"result": {"allow": true, "entitlements": NaN, "reasons": []}, "provenance": PROVENANCE}'),
    "infinity": text('{"result": YES, "provenance": PROVENANCE, "decision_id": Infinity}'),
    "a number without end": text('{"result": YES, "provenance": PROVENANCE, "decision_id": 1e999}'),
    "two results": text('{"result": {}, "provenance": PROVENANCE, "result": YES}'),
    "allow twice": text('{"result": {"allow": false, "allow": true, "reasons": []}, "provenance": PROVENANCE}'),
    "half of a surrogate pair": text('{"result": YES, "provenance": PROVENANCE, "decision_id": "\\ud800"}'),
    "bytes that are no text": text('{"result": YES, "provenance": PROVENANCE, "decision_id": "\ud800"}'),
    "a byte order mark": text('\ufeff{"result": YES, "provenance": PROVENANCE}'),
    "two answers": text('{"result": YES, "provenance": PROVENANCE}{"result": YES, "provenance": PROVENANCE}'),
    "half an object": text('{"result": YES, "provenance": PROVENANCE'),
    "deep brackets": text("[" * 100_000),
    "nothing": text(""),
    "a page": says(http(b"<html>yes</html>", "200 OK", "Content-Type: text/html")),
    "yes by another content type": sent("Content-Type: text/plain"),
    "a yes that is packed": sent("Content-Encoding: gzip", packed=True),
    "a yes that says it is packed and is not": sent("Content-Encoding: gzip"),
    "a yes that is packed and does not say so": sent(packed=True),
    "a bomb": says(http(gzip.compress(b" " * (64 << 20), 9), "200 OK", "Content-Encoding: gzip")),
    "a body over its bound": text('{"result": YES, "provenance": PROVENANCE}' + " " * (256 << 10)),
}

# --- Another OPA, another bundle, another revision (8-threats.md O3) ---

OTHERS: dict[str, Script] = {
    "no provenance": around(provenance=None),
    "provenance that is a text": around(provenance="1.22.2"),
    "another revision": provenance(bundles={"remit": {"revision": "0" * 64}}),
    "no revision": provenance(bundles={"remit": {}}),
    "an empty revision": provenance(bundles={"remit": {"revision": ""}}),
    "a revision that is a list": provenance(bundles={"remit": {"revision": ["a"]}}),
    "no bundle": provenance(bundles={}),
    "bundles left out": provenance(bundles=None),
    "only the old member for the revision": provenance(bundles=None, revision="5" * 64),
    "a bundle of another name": provenance(bundles={"other": {"revision": "5" * 64}}),
    "an old OPA": provenance(version="1.21.2"),
    "a very old OPA": provenance(version="0.70.0"),
    "no version": provenance(version=None),
    "a version that is none": provenance(version="latest"),
    "a version that is a number": provenance(version=1.22),
    "a version before its release": provenance(version="1.22.0-rc1"),
    "a warning": around(warning={"code": "api_usage_warning", "message": "'input' key missing from the request"}),
    "a further member around it": around(explanation=[]),
}


def _beside() -> Script:
    async def script(opa: FakeOpa, writer: asyncio.StreamWriter) -> None:
        ours = opa.provenance()["bundles"]
        await provenance(bundles={**ours, "other": {"revision": "1"}})(opa, writer)

    return script


OTHERS["another bundle beside ours"] = _beside()

# --- What is no answer by its status ---

STATUSES: dict[str, Script] = {
    f"{status} with a yes in it": sent(*headers, status=f"{status} So")
    for status, headers in {
        201: (),
        204: (),
        206: ("Content-Range: bytes 0-9/10",),
        301: ("Location: /v1/data/remit/issue/decision",),
        302: ("Location: http://127.0.0.1:1/",),
        307: ("Location: /v1/data/remit/issue/decision",),
        308: ("Location: /v1/data/remit/issue/decision",),
        400: (),
        401: ("WWW-Authenticate: Bearer",),
        403: (),
        404: (),
        429: ("Retry-After: 0",),
        500: (),
        502: (),
        503: ("Retry-After: 0",),
        504: (),
    }.items()
}

# --- What ends too early, or never (8-threats.md O2) ---


async def _reset(_: FakeOpa, writer: asyncio.StreamWriter) -> None:
    """Ends the connection as a crash does."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(1, 13, linger)  # SO_LINGER: a reset instead of an end
    writer.transport.abort()


async def _cut_off(opa: FakeOpa, writer: asyncio.StreamWriter) -> None:
    """Writes half of a yes."""
    whole = http(opa.body())
    writer.write(whole[: len(whole) - 40])


async def _cut_off_in_chunks(opa: FakeOpa, writer: asyncio.StreamWriter) -> None:
    """Writes a whole yes in a chunked body that is never ended."""
    content = json.dumps(opa.body()).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(head + f"{len(content):x}\r\n".encode() + content + b"\r\n")


async def _silent(_: FakeOpa, writer: asyncio.StreamWriter) -> None:
    """Says nothing for as long as the other side waits."""
    await _gone(writer)


async def _stalled(opa: FakeOpa, writer: asyncio.StreamWriter) -> None:
    """Writes all of a yes but its last byte."""
    writer.write(http(opa.body())[:-1])
    await _gone(writer)


async def _dripping(opa: FakeOpa, writer: asyncio.StreamWriter) -> None:
    """Writes a yes byte by byte: every byte comes in time, and the whole never does."""
    for byte in http(opa.body()):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.02)


async def _headers_without_end(_: FakeOpa, writer: asyncio.StreamWriter) -> None:
    """Writes header after header."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"X-More: 1\r\n" * 100)
        await writer.drain()


async def _interim_without_end(_: FakeOpa, writer: asyncio.StreamWriter) -> None:
    """Promises an answer again and again."""
    while not writer.is_closing():
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await writer.drain()


async def _body_without_end(_: FakeOpa, writer: asyncio.StreamWriter) -> None:
    """Writes spaces for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" " * 65_536)
        await writer.drain()


async def _gone(writer: asyncio.StreamWriter) -> None:
    """Returns when the other side has hung up."""
    while not writer.is_closing():  # noqa: ASYNC110 - the reader, which would tell, is not here
        await asyncio.sleep(0.01)


FAULTS: dict[str, Script] = {
    "hung up": says(b""),
    "a reset": _reset,
    "no HTTP": says(b"yes\r\n\r\n"),
    "a longer body promised": _cut_off,
    "chunks without end": _cut_off_in_chunks,
    "a chunk of no size": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "a length that is none": says(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}"),
    "two lengths": says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\n{}"),
    "a header line over its bound": says(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"),
}
# These end at the deadline only.
SLOW: dict[str, Script] = {
    "silence": _silent,
    "a body that stalls": _stalled,
    "a body that drips": _dripping,
    "interim answers without end": _interim_without_end,
}
# These end at the deadline or at a bound, whichever comes first.
ENDLESS: dict[str, Script] = {
    "headers without end": _headers_without_end,
    "a body without end": _body_without_end,
}
EVERY = {**BODIES, **OTHERS, **STATUSES, **FAULTS, **ENDLESS}
