"""What a gateway starts is started without gRPC's threads: they would go on writing to its callers' connections."""

import os
import subprocess
import sys

import pytest

STARTED = """
import os, sys
if sys.argv[1] == "as a gateway":
    from remit_server.adapters.logs import prepare_grpc
    prepare_grpc()
from concurrent.futures import ThreadPoolExecutor
import grpc
server = grpc.server(ThreadPoolExecutor(2))
server.add_insecure_port("127.0.0.1:0")
server.start()
child = os.fork()
if child == 0:
    os.write(1, str(len(os.listdir("/proc/self/task"))).encode())
    os._exit(0)
os.waitpid(child, 0)
server.stop(None)
"""


def threads_of_a_child(how: str) -> int:
    """Returns how many threads a fork of a process with a gRPC server has before it does anything."""
    plain = {name: value for name, value in os.environ.items() if name != "GRPC_ENABLE_FORK_SUPPORT"}
    command = [sys.executable, "-c", STARTED, how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=plain)  # noqa: S603 - ours
    return int(done.stdout)


def test_a_gateways_children_start_without_the_threads_of_grpc() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("/proc tells of threads on Linux only")

    assert threads_of_a_child("as a gateway") == 1
    assert threads_of_a_child("as anybody else") > 1  # else this test shows nothing
