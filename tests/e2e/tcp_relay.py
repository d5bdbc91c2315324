"""Stands between an agent and its gateway and passes bytes on, so that a test can cut the way or move the gateway.

It exists because a cable cannot be pulled on loopback: a way that is cut here stays open and carries nothing any more.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

_PIECE: Final = 65_536


class TcpRelay:
    """Passes on what comes to `address` to whatever `target` is then."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.address = ""
        self.is_cut = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Carries nothing any more, in either direction, and says so to nobody."""
        self.is_cut = True

    def run(self, opened: threading.Event) -> None:
        """Serves until it is stopped; a thread of its own does this."""
        asyncio.run(self._serve(opened))

    def stop(self) -> None:
        """Hangs up on everybody."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stopped.set)

    async def _serve(self, opened: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        opened.set()
        await self._stopped.wait()
        server.close()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running = asyncio.current_task()
        assert running is not None
        self._running.add(running)
        try:
            with closing(writer), contextlib.suppress(OSError):
                host, _, port = self.target.rpartition(":")
                there, back = await asyncio.open_connection(host, int(port))
                with closing(back):
                    await self._both_ways((reader, back), (there, writer))
        finally:
            self._running.discard(running)

    async def _both_ways(self, *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """Copies until one side has hung up, or everybody has to."""
        copying = [asyncio.create_task(self._copy(*way)) for way in ways]
        stopped = asyncio.create_task(self._stopped.wait())
        await asyncio.wait([*copying, stopped], return_when=asyncio.FIRST_COMPLETED)
        for task in (*copying, stopped):
            task.cancel()
        await asyncio.gather(*copying, stopped, return_exceptions=True)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE):
                if self.is_cut:
                    await self._stopped.wait()
                writer.write(piece)
                await writer.drain()


@contextmanager
def tcp_relay(target: str) -> Iterator[TcpRelay]:
    """Runs a relay in front of a target for the time of the block."""
    relay, opened = TcpRelay(target), threading.Event()
    thread = threading.Thread(target=relay.run, args=(opened,))
    thread.start()
    try:
        assert opened.wait(30)
        yield relay
    finally:
        relay.stop()
        thread.join()
