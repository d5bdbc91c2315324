"""An honest call, for tests to make oddly by HTTP/2."""

from dataclasses import dataclass

from tests.attack.black_box.broker import Ask

ASK = Ask(((("s3:GetObject",), ("arn:aws:s3:::reports/2026/q3/*",)),))
OK = "0"
Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Call:
    """An honest call, to be made oddly; each has a request of its own."""

    address: str
    roots: bytes
    path: str
    metadata: tuple[tuple[str, str], ...]
    message: bytes

    def headers(self, *, without: str = "", first: Headers | None = None, more: Headers | None = None) -> Headers:
        """Returns the call's headers, one left out, some before and some after them."""
        usual = {
            ":method": "POST",
            ":scheme": "https",
            ":path": self.path,
            ":authority": "localhost",
            "te": "trailers",
            "content-type": "application/grpc",
            **dict(self.metadata),
        }
        kept = [(name.encode(), value.encode()) for name, value in usual.items() if name != without]
        return [*(first or []), *kept, *(more or [])]

    def with_header(self, name: str, value: bytes) -> Headers:
        """Returns the call's headers with another value of one."""
        return [(key, value if key == name.encode() else known) for key, known in self.headers()]
