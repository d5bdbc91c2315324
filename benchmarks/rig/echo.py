"""The floor under every gRPC answer: a bare grpc.aio server on TLS that sends so many bytes back, and does nothing.

`python -m benchmarks.rig.echo CERTIFICATE KEY CLIENT_CA BYTES` prints its port and ends with its standard input.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc
import uvloop


async def main() -> None:
    """Serves one method for whatever is asked."""
    certificate, key, authority = _files()
    answer = bytes(int(sys.argv[4]))

    async def echo(_request: bytes, _context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        return answer

    handler = grpc.method_handlers_generic_handler("bench.Echo", {"Echo": grpc.unary_unary_rpc_method_handler(echo)})
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    credentials = grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=True)
    print(server.add_secure_port("127.0.0.1:0", credentials), flush=True)
    await server.start()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(0)


def _files() -> list[bytes]:
    """Returns the certificate, its key and the authority of callers."""
    return [Path(name).read_bytes() for name in sys.argv[1:4]]


if __name__ == "__main__":
    uvloop.run(main())
