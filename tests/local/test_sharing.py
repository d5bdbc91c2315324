"""The socket of one user's programs: what passes over it, what it is bound to, and who is let near it."""

import json
import os
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.local.answering import answering

from remit.errors import Refused, Remedy
from remit.local.errors import EndpointRefused
from remit.local.sharing.asking import LARGEST_LINE, ask
from remit.local.sharing.place import NotTrusted, check_folder, socket_path
from remit.local.sharing.serving import SocketServer


def echo(request: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"asked": request["op"]}


def raw(path: Path, sent: bytes) -> bytes:
    """Sends these bytes and returns everything that comes back."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(path))
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_an_answer_comes_back(tmp_path: Path) -> None:
    with answering(tmp_path, echo) as path:
        assert ask(str(path), {"op": "status"}) == {"ok": {"asked": "status"}}


def test_where_nothing_answers_there_is_none(tmp_path: Path) -> None:
    with answering(tmp_path, echo) as path:
        pass

    assert ask(str(path), {"op": "status"}) is None
    assert ask(str(tmp_path / "never" / "endpoint.sock"), {"op": "status"}) is None


def test_a_failure_is_passed_on_with_reason_text_and_exit_code(tmp_path: Path) -> None:
    def refuse(_: Mapping[str, Any]) -> Mapping[str, Any]:
        raise Refused("not that", reason="CEILING_EXCEEDED", remedy=Remedy.NARROW)

    with answering(tmp_path, refuse) as path:
        answer = ask(str(path), {"op": "credentials"})

    assert answer is not None
    error = answer["error"]
    assert (error["reason"], error["message"], error["exit"]) == ("CEILING_EXCEEDED", "not that", 80)
    assert error["text"].startswith("CEILING_EXCEEDED: not that\n  what to do: ")
    assert "--narrow" in error["text"]


def test_what_is_unforeseen_is_told_by_its_type_only(tmp_path: Path) -> None:
    def fail(_: Mapping[str, Any]) -> Mapping[str, Any]:
        raise ValueError("eyJ-secret")

    with answering(tmp_path, fail) as path:
        answer = ask(str(path), {"op": "credentials"})

    assert answer is not None
    assert answer["error"]["reason"] == "INTERNAL"
    assert "ValueError" in answer["error"]["text"]
    assert "eyJ-secret" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"\n", "INVALID_REQUEST"),
        (b"[]\n", "INVALID_REQUEST"),
        (b"[" * 60_000 + b"\n", "INVALID_REQUEST"),
        (b'{"op": "status"}\n', "ENDPOINT_REFUSED"),
        (b'{"op": "status", "protocol": 2}\n', "ENDPOINT_REFUSED"),
    ],
    ids=["empty", "a list", "deep", "no protocol", "another protocol"],
)
def test_nonsense_is_refused(sent: bytes, reason: str, tmp_path: Path) -> None:
    with answering(tmp_path, echo) as path:
        answer = json.loads(raw(path, sent))

    assert answer["error"]["reason"] == reason


@pytest.mark.parametrize(
    "sent", [b"", b'{"op"', b"x" * (LARGEST_LINE + 1) + b"\n"], ids=["nothing", "half a line", "too long a line"]
)
def test_what_is_no_line_gets_no_answer(sent: bytes, tmp_path: Path) -> None:
    with answering(tmp_path, echo) as path:
        try:
            answer = raw(path, sent)
        except ConnectionError:
            answer = b""

        assert answer == b""
        assert ask(str(path), {"op": "status"}) is not None


def test_more_ask_at_once_than_there_are_threads_for_and_all_are_answered(tmp_path: Path) -> None:
    gate = threading.Event()

    def slow(request: Mapping[str, Any]) -> Mapping[str, Any]:
        gate.wait(30)
        return echo(request)

    with answering(tmp_path, slow) as path, ThreadPoolExecutor(200) as pool:
        asking = [pool.submit(ask, str(path), {"op": "status"}) for _ in range(200)]
        gate.set()
        answers = [each.result() for each in asking]

    assert answers == [{"ok": {"asked": "status"}}] * 200


def test_a_silent_caller_holds_nobody_up(tmp_path: Path) -> None:
    with answering(tmp_path, echo) as path, socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(path))

        assert ask(str(path), {"op": "status"}) is not None


def test_socket_and_folder_are_this_users_alone(tmp_path: Path) -> None:
    place = tmp_path / "runtime" / "remit" / "endpoint.sock"
    (tmp_path / "runtime").mkdir(mode=0o700)

    with SocketServer(place, echo):
        assert place.stat().st_mode & 0o777 == 0o600
        assert place.parent.stat().st_mode & 0o777 == 0o700

    assert not place.exists()


def test_a_second_endpoint_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with answering(tmp_path, echo) as path:
        with pytest.raises(EndpointRefused, match=r"answers at .* already"):
            SocketServer(path, echo)

        assert ask(str(path), {"op": "status"}) is not None


def test_what_a_killed_process_left_behind_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "endpoint.sock"))

    with answering(tmp_path, echo) as path:
        assert ask(str(path), {"op": "status"}) is not None


def test_a_server_that_closes_late_leaves_its_successors_socket_alone(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    path = folder / "endpoint.sock"
    first = SocketServer(path, echo)
    path.unlink()
    with SocketServer(path, echo):
        first.close()

        assert ask(str(path), {"op": "status"}) is not None


def test_a_process_that_answers_something_else_is_not_trusted(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "endpoint.sock"))
        listening.listen()

        def hello() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b'"hello"\n')

        thread = threading.Thread(target=hello)
        thread.start()
        with pytest.raises(NotTrusted, match="no endpoint of remit's"):
            ask(str(folder / "endpoint.sock"), {"op": "status"})
        thread.join()


def test_an_endpoint_that_goes_in_the_middle_is_as_none(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "endpoint.sock"))
        listening.listen()

        def hang_up() -> None:
            connection, _ = listening.accept()
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        answer = ask(str(folder / "endpoint.sock"), {"op": "status"})
        thread.join()

    assert answer is None


def test_a_silent_endpoint_is_given_up(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "endpoint.sock"))
        listening.listen()

        answer = ask(str(folder / "endpoint.sock"), {"op": "status"}, seconds=0.2)

    assert answer is None


def test_the_place_is_the_runtime_folder_or_else_the_cache(tmp_path: Path) -> None:
    runtime, cache = tmp_path / "runtime", tmp_path / "cache"
    runtime.mkdir(mode=0o700)
    named = {"XDG_RUNTIME_DIR": str(runtime), "XDG_CACHE_HOME": str(cache), "HOME": "/people/alice"}

    assert socket_path(named) == f"{runtime}/remit/endpoint.sock"
    assert socket_path({**named, "REMIT_SOCKET": "/x/y.sock"}) == "/x/y.sock"
    assert socket_path({"HOME": "/people/alice"}) == "/people/alice/.cache/remit/endpoint.sock"
    runtime.chmod(0o755)
    assert socket_path(named) == f"{cache}/remit/endpoint.sock"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give a folder to another user")
def test_another_users_folder_is_not_trusted(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)

    with pytest.raises(NotTrusted, match="of this user and of mode 0700"):
        check_folder(str(folder))
