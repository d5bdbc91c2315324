"""How many workers there are, and the ports that they share."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from remit_server.cli.main import app
from remit_server.cli.workers.cores import usable_cores
from remit_server.cli.workers.ports import HeldPorts, PortTaken

HOST = "127.0.0.1"


def said(*arguments: str, **environment: str) -> str:
    """Returns what `serve` complains about, as one line."""
    result = CliRunner().invoke(app, ["serve", "--config", "/nowhere/remit.toml", *arguments], env=environment)
    assert result.exit_code == 2
    return " ".join(result.stderr.replace("│", "").split())


@pytest.mark.parametrize("count", ["0", "65", "-1", "two", "1.5", "\u0662", ""])
def test_a_count_of_workers_that_is_none_is_refused(count: str) -> None:
    assert "neither a number from 1 to 64 nor auto" in said("--workers", count)


def test_the_count_of_workers_may_come_from_the_environment() -> None:
    assert "'many' is neither a number" in said(REMIT_WORKERS="many")


@pytest.mark.parametrize("count", ["1", "64", "auto"])
def test_a_count_of_workers_is_taken_and_the_configuration_is_what_is_missing(count: str) -> None:
    assert "the gateway did not start: /nowhere/remit.toml" in said("--workers", count)


@pytest.mark.parametrize(("quota", "most"), [("50000 100000", 1), ("100000 100000", 1), ("150000 100000", 2)])
def test_a_control_groups_quota_bounds_the_cores(tmp_path: Path, quota: str, most: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(f"{quota}\n")

    assert 1 <= usable_cores(file) <= most


def test_without_a_quota_all_cores_of_the_process_are_usable(tmp_path: Path) -> None:
    unlimited, garbled = tmp_path / "unlimited", tmp_path / "garbled"
    unlimited.write_text("max 100000\n")
    garbled.write_text("?\n")

    assert usable_cores(unlimited) == usable_cores(garbled) == usable_cores(tmp_path / "missing") >= 1


@pytest.fixture
def held() -> Iterator[HeldPorts]:
    """Two ports that are held, any free ones."""
    with HeldPorts([f"{HOST}:0", f"{HOST}:0"]) as ports:
        yield ports


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def listening(port: int, *, share: bool, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    """Returns a socket that listens at the port as grpc does, with or without sharing it."""
    opened = socket.socket(family)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(share))
    try:
        opened.bind(("::" if family is socket.AF_INET6 else HOST, port))
        opened.listen()
    except OSError:
        opened.close()
        raise
    return opened


def test_each_address_gets_a_port_of_its_own(held: HeldPorts) -> None:
    one, other = held.addresses

    assert one.startswith(f"{HOST}:")
    assert 0 < port_of(one) != port_of(other)


def test_workers_share_a_port_that_is_held_and_connections_reach_them(held: HeldPorts) -> None:
    port = port_of(held.addresses[0])
    with closing(listening(port, share=True)) as one, closing(listening(port, share=True)):
        one.close()
        with closing(socket.create_connection((HOST, port), timeout=60)) as connection:
            assert connection.getpeername() == (HOST, port)


def test_nobody_can_connect_while_no_worker_listens(held: HeldPorts) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port_of(held.addresses[0])), timeout=60)


@pytest.mark.parametrize("with_a_worker", [False, True])
def test_a_second_gateway_is_refused_a_port_that_is_held(held: HeldPorts, *, with_a_worker: bool) -> None:
    address = held.addresses[0]
    worker = listening(port_of(address), share=True) if with_a_worker else socket.socket()

    with closing(worker), pytest.raises(PortTaken, match=f"{address} cannot be listened on"):
        HeldPorts([f"{HOST}:0", address])


def test_a_server_that_does_not_share_is_refused_a_port_that_is_held(held: HeldPorts) -> None:
    with pytest.raises(OSError, match="in use"):
        listening(port_of(held.addresses[0]), share=False)


@pytest.mark.parametrize("share", [False, True])
def test_a_port_that_somebody_listens_on_is_refused_whether_or_not_they_share_it(*, share: bool) -> None:
    with closing(listening(0, share=share)) as taken, pytest.raises(PortTaken):
        HeldPorts([f"{HOST}:{taken.getsockname()[1]}"])


def test_a_refusal_gives_back_what_was_held_before_it(held: HeldPorts) -> None:
    with HeldPorts([f"{HOST}:0"]) as first:
        free = first.addresses[0]

    with pytest.raises(PortTaken):
        HeldPorts([free, held.addresses[0]])

    with HeldPorts([free]) as again:
        assert again.addresses == (free,)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_a_wildcard_is_held_for_both_kinds_of_address() -> None:
    with HeldPorts(["0.0.0.0:0"]) as wide, pytest.raises(OSError, match="in use"):
        listening(port_of(wide.addresses[0]), share=False, family=socket.AF_INET6)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(PortTaken, match=r"192\.0\.2\.1:8443 cannot be listened on"):
        HeldPorts(["192.0.2.1:8443"])


def test_a_connection_of_a_gateway_that_has_just_ended_does_not_keep_the_port() -> None:
    with closing(listening(0, share=True)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection((HOST, port), timeout=60)
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first keeps the connection in TIME_WAIT
        client.close()

    with HeldPorts([f"{HOST}:{port}"]) as held:
        assert held.addresses == (f"{HOST}:{port}",)
