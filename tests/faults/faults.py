"""The faults of the table, by the words of its rows. `MARK` stands in all that is said in a dependency's place."""

from typing import Final

from tests.faults.rig.proxy import End, Fault, Part

MARK: Final = "AKIAUPSTREAMSOWNWORDS"
_TEXT: Final = f"<html><body>{MARK}</body></html>".encode()
_HUGE: Final = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{MARK}".encode()


def _http(status: str, body: bytes, kind: str = "application/json") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


GONE: Final = Fault(listens=False)
FAULTS: Final[dict[str, Fault]] = {
    "slow": Fault(pause=0.02),
    "gone": GONE,
    "reset-before": Fault(forwards=False, end=End.RESETS),
    "reset-after": Fault(passes=Part.NONE, end=End.RESETS),
    "closed-after": Fault(passes=Part.NONE, end=End.CLOSES),
    "cut": Fault(passes=Part.FEW, end=End.CLOSES),
    "half": Fault(passes=Part.HALF, end=End.CLOSES),
    "stalled": Fault(passes=Part.NONE, end=End.STALLS),
    "stalled-half": Fault(passes=Part.HALF, end=End.STALLS),
    "late": Fault(pause=20.0),
    "drip": Fault(piece=1, pause=0.2),
    "garbage": Fault(forwards=False, says=_TEXT * 8, end=End.CLOSES),
    "garbage-after": Fault(says=_TEXT * 8, end=End.CLOSES),
    "status-500": Fault(forwards=False, says=_http("500 Internal Server Error", _TEXT, "text/html")),
    "status-404": Fault(forwards=False, says=_http("404 Not Found", _TEXT, "text/html")),
    "redirect": Fault(
        forwards=False,
        says=b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
    ),
    "empty": Fault(forwards=False, says=_http("200 OK", b"")),
    "other-json": Fault(forwards=False, says=_http("200 OK", b'{"' + MARK.encode() + b'": true}')),
    "huge": Fault(forwards=False, says=_HUGE + b"x" * 65_536, endless=True),
}
