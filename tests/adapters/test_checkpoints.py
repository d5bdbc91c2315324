"""Checkpoints: signed, kept elsewhere, and enough to find out a chain that was computed anew."""

import asyncio
import fcntl
import json
import os
import sqlite3
import stat
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.databases import Place
from tests.fakes import NOON, FakeClock
from tests.faults.rig.ledgers import full_disk, small_disk
from tests.ledger_values import told_story
from tests.webhook_receiver import webhook_receiver
from typer.testing import CliRunner, Result

from remit_server.adapters.checkpoints.keeping import CheckpointFile, EveryPlace, keeper_of
from remit_server.adapters.checkpoints.signing import (
    CheckpointRefused,
    CheckpointSigner,
    KeyRefused,
    checkpoints_in,
    key_name,
    public_key_of,
)
from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.database.lifecycle.holding import DatabaseHolds
from remit_server.adapters.database.trail.audit_log import events
from remit_server.adapters.database.trail.trail import tip_of
from remit_server.application.oversight.keep_checkpoints import KeepCheckpoints, Undelivered
from remit_server.cli.main import app
from remit_server.config.checkpoint_settings import CheckpointSettings
from remit_server.domain.audit import GENESIS, ChainedEvent, GatewayStarted, chained
from remit_server.domain.checkpoint import Checkpoint
from remit_server.domain.secret import Secret

KEY = Ed25519PrivateKey.generate()
POINT = Checkpoint(7, "ab" * 32, NOON)


def pem(key: Any, *, public: bool = False) -> bytes:
    if public:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))
    return bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """The files of the private and of the public key."""
    private, public = tmp_path / "checkpoints.key", tmp_path / "checkpoints.pub"
    private.write_bytes(pem(KEY))
    public.write_bytes(pem(KEY, public=True))
    return private, public


def line(checkpoint: Checkpoint = POINT, key: Ed25519PrivateKey = KEY) -> str:
    return CheckpointSigner(key).line(checkpoint)


def read(*lines: str, key: Ed25519PrivateKey = KEY) -> list[Checkpoint]:
    return checkpoints_in(lines, key.public_key())


def changed(**members: Any) -> str:
    return json.dumps({**json.loads(line()), **members})


def test_what_was_signed_is_read_back() -> None:
    later = replace(POINT, count=9, head="cd" * 32)

    assert read(line(), "", line(later)) == [POINT, later]


@pytest.mark.parametrize(
    "forged",
    [
        changed(count=8),
        changed(head="cd" * 32),
        changed(time="2026-11-24T12:00:00.000000+00:00"),
        changed(format=2),
        changed(more=1),
        changed(count=True),
        changed(count="7"),
        changed(count=-1),
        changed(signature=""),
        changed(signature="!"),
        changed(signature=None),
        changed(head="ab"),
        line(key=Ed25519PrivateKey.generate()),
        line()[:-1] + ', "count": 8}',
        line() + line(),
        "{}",
        "[]",
        "null",
        "x" * 5000,
        "[" * 1000,
    ],
)
def test_a_line_that_the_key_did_not_sign_is_refused(forged: str) -> None:
    with pytest.raises(CheckpointRefused, match="line 2 is no checkpoint signed by this key"):
        read(line(), forged)


def test_two_that_disagree_are_refused() -> None:
    with pytest.raises(CheckpointRefused, match="line 2 names another record 7"):
        read(line(), line(replace(POINT, head="cd" * 32)))


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    for content, read_key in (
        (pem(generate_private_key(SECP256R1())), CheckpointSigner.of),
        (b"no key", CheckpointSigner.of),
        (pem(KEY, public=True), CheckpointSigner.of),
        (pem(generate_private_key(SECP256R1()), public=True), public_key_of),
        (pem(KEY), public_key_of),
    ):
        file.write_bytes(content)
        with pytest.raises(KeyRefused):
            read_key(file)


def test_the_key_is_named_by_its_fingerprint() -> None:
    assert json.loads(line())["key"] == key_name(KEY.public_key())
    assert len(key_name(KEY.public_key())) == 32


async def test_a_file_grows_by_a_line_and_is_for_its_owner_alone(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    keep = CheckpointFile(CheckpointSigner.of(keys[0]), tmp_path / "kept.jsonl")

    await keep(POINT)
    await keep(replace(POINT, count=8, head="cd" * 32))

    assert [one.count for one in read(*(tmp_path / "kept.jsonl").read_text().splitlines())] == [7, 8]
    assert stat.S_IMODE((tmp_path / "kept.jsonl").stat().st_mode) == 0o600


async def test_a_place_that_takes_nothing_says_so(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    keep = CheckpointFile(CheckpointSigner.of(keys[0]), tmp_path / "missing/kept.jsonl")
    full = CheckpointFile(CheckpointSigner.of(keys[0]), Path("/dev/full"))

    for one in (keep, full):
        with pytest.raises(Undelivered, match="cannot be written"):
            await one(POINT)


async def test_a_disk_that_has_room_for_a_part_of_a_line_is_given_none_of_it(
    tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        file = disk / "kept.jsonl"
        before = "\n" * (4096 - 100)  # so much is left of the page that it has
        file.write_text(before)
        keep = CheckpointFile(CheckpointSigner.of(keys[0]), file)

        with full_disk(disk), pytest.raises(Undelivered):
            await keep(POINT)
        while_full = file.read_text()
        await keep(POINT)

        assert while_full == before
        assert checkpoints_in(file.read_text().splitlines(), KEY.public_key()) == [POINT]


async def test_a_part_of_a_line_is_taken_back_and_nothing_that_another_added_since(
    tmp_path: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk") as disk, ExitStack() as while_full:
        file = disk / "kept.jsonl"
        file.write_text("\n" * (4096 - 100))
        keep = CheckpointFile(CheckpointSigner.of(keys[0]), file)
        truncate, kept = os.ftruncate, []

        def late(descriptor: int, length: int) -> None:
            while_full.close()  # there is room again, and another process is quicker
            with suppress(Undelivered):
                asyncio.run(keep(replace(POINT, count=8)))
                kept.append(8)
            truncate(descriptor, length)

        monkeypatch.setattr(os, "ftruncate", late)
        while_full.enter_context(full_disk(disk))
        with pytest.raises(Undelivered):
            await keep(POINT)
        await keep(replace(POINT, count=9))

        assert [one.count for one in checkpoints_in(file.read_text().splitlines(), KEY.public_key())] == [*kept, 9]


async def test_a_file_that_another_process_holds_is_not_waited_for(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    keep = CheckpointFile(CheckpointSigner.of(keys[0]), tmp_path / "kept.jsonl")

    with (tmp_path / "kept.jsonl").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Undelivered, match="another process holds its lock"):
            await keep(POINT)
    await keep(POINT)

    assert read((tmp_path / "kept.jsonl").read_text()) == [POINT]


async def test_a_receiver_by_https_is_given_each_line_and_the_token(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    async with webhook_receiver(tmp_path) as receiver:
        receiver.checks = False
        url = f"https://127.0.0.1:{receiver.port}/told"
        settings = CheckpointSettings(keys[0], url=url, token=Secret("t0k3n"), ca_file=receiver.authority.bundle_path)
        keep = keeper_of(settings)

        await keep(POINT)
        for status in (307, 404, 500):
            receiver.answers = [status]
            with pytest.raises(Undelivered, match=f"HTTP status {status}"):
                await keep(POINT)

        ((headers, body),) = receiver.taken
        assert headers["Authorization"] == "Bearer t0k3n"
        assert read(body.decode()) == [POINT]


async def test_nobody_there_is_told(keys: tuple[Path, Path]) -> None:
    settings = CheckpointSettings(keys[0], url="https://127.0.0.1:1/checkpoints")

    with pytest.raises(Undelivered):
        await keeper_of(settings)(POINT)


def test_a_file_and_a_url_are_both_kept_in(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    settings = CheckpointSettings(keys[0], file=tmp_path / "x", url="https://siem.acme.example/c")

    assert isinstance(keeper_of(settings), EveryPlace)
    assert len(keeper_of(settings).places) == 2


class Kept:
    """Remembers what it was given, or takes nothing."""

    def __init__(self) -> None:
        self.points: list[int] = []
        self.fails = False

    async def __call__(self, checkpoint: Checkpoint, /) -> None:
        if self.fails:
            raise Undelivered("full")
        self.points.append(checkpoint.count)


async def test_one_process_keeps_one_when_it_is_due_and_there_is_anything_new(place: Place) -> None:
    clock, kept, others = FakeClock(), Kept(), Kept()
    async with open_ledger(place, clock) as ledger:

        def keeper(keep: Kept, holder: str) -> KeepCheckpoints:
            async def tip() -> tuple[int, str]:
                return await ledger.store.read(tip_of)

            holds = DatabaseHolds(ledger.store)
            return KeepCheckpoints(tip, keep, holds, holder, clock, timedelta(seconds=60), 5)

        async def write(count: int) -> None:
            for _ in range(count):
                await ledger.record(GatewayStarted("1", "a", "b", "c"))

        first, second = keeper(kept, "one"), keeper(others, "two")
        await write(2)
        await first.look()
        await second.look()  # another process holds it
        await write(1)
        await first.look()  # not due yet
        clock.advance(seconds=10)
        await first.look()
        assert (kept.points, others.points) == ([2], [])
        await write(4)
        await first.look()  # five records since
        clock.advance(seconds=15)
        await first.look()  # nothing new
        await write(1)
        for _ in range(4):
            clock.advance(seconds=15)
            await first.look()
        assert kept.points == [2, 7, 8]
        kept.fails = True
        clock.advance(seconds=15)
        await write(5)
        with pytest.raises(Undelivered):
            await first.look()
        kept.fails = False
        await first.look()
        assert kept.points == [2, 7, 8, 13]
        clock.advance(seconds=60)  # the first one is gone
        await second.look()
        assert others.points == [13]


async def test_looking_goes_on_through_failures_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept()
    kept.fails = True

    async def tip() -> tuple[int, str]:
        return 1, "a" * 64

    async def hold(*_: object) -> bool:
        return True

    keep = KeepCheckpoints(tip, kept, hold, "one", FakeClock(), timedelta(seconds=60), 5, timedelta(milliseconds=5))
    running = asyncio.create_task(keep())
    await asyncio.sleep(0.05)
    kept.fails = False
    while not kept.points:  # noqa: ASYNC110 - the look is what is waited for
        await asyncio.sleep(0.005)
    running.cancel()

    assert [record.message for record in caplog.records] == ["no checkpoint of the audit trail could be kept: full"]


# --- what they find out ----------------------------------------------------------------------------------------------


def verify(database: Place, *options: object) -> Result:
    return CliRunner().invoke(app, ["audit", "verify", "-d", str(database), *(str(one) for one in options)])


def points(place: Place, *counts: int) -> list[str]:
    heads = {event.sequence: event.event_hash for event in events(place)} | {0: GENESIS}
    return [line(Checkpoint(count, heads[count], NOON)) for count in counts]


def kept_in(folder: Path, *lines: str) -> Path:
    file = folder / "kept.jsonl"
    file.write_text("\n".join(lines) + "\n")
    return file


async def test_a_chain_that_has_every_checkpoint_is_intact(
    place: Place, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    await told_story(place)

    outcome = verify(place, "--checkpoints", kept_in(tmp_path, *points(place, 0, 3, 9)), "--public-key", keys[1])

    assert outcome.exit_code == 0, outcome.output
    assert "It has the records that 3 checkpoints name, up to record 9." in outcome.stdout


async def test_a_chain_that_was_computed_anew_is_found_out(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    database = await told_story(tmp_path / "ledger.db")
    file = kept_in(tmp_path, *points(database, 2, 4, 9))
    rewrite(database, 3)

    alone = verify(database)
    held = verify(database, "--checkpoints", file, "--public-key", keys[1])

    assert alone.exit_code == 0  # the chain itself is whole
    assert held.exit_code == 1
    assert "The chain is broken at record 4: it, or one before it, is not the record that a checkpoint" in held.stdout


async def test_a_chain_that_was_cut_and_closed_is_found_out(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    database = await told_story(tmp_path / "ledger.db")
    file = kept_in(tmp_path, *points(database, 9))
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM audit_events WHERE sequence > 6")
        (head,) = connection.execute("SELECT event_hash FROM audit_events WHERE sequence = 6").fetchone()
        connection.execute("UPDATE audit_head SET sequence = 6, hash = ?", (head,))

    assert verify(database).exit_code == 0
    held = verify(database, "--checkpoints", file, "--public-key", keys[1])
    assert (held.exit_code, "record 9: the record is missing" in held.stdout) == (1, True)


def rewrite(database: Path, place: int) -> None:
    """Changes a record and computes everything after it anew, as somebody with the whole database can."""
    with closing(sqlite3.connect(database)) as connection, connection:
        rows = connection.execute("SELECT sequence, kind, body FROM audit_events ORDER BY sequence").fetchall()
        times = [event.time for event in events(database)]
        previous = GENESIS
        for (sequence, kind, body), time in zip(rows, times, strict=True):
            text = body.replace("alice", "mallo") if sequence == place else body
            assert sequence != place or text != body
            event = anew(sequence, kind, text, previous, time)
            connection.execute(
                "UPDATE audit_events SET body = ?, previous_hash = ?, event_hash = ? WHERE sequence = ?",
                (text, previous, event.event_hash, sequence),
            )
            previous = event.event_hash
        connection.execute("UPDATE audit_head SET hash = ?", (previous,))


def anew(sequence: int, kind: str, text: str, previous: str, time: Any) -> ChainedEvent:
    """Returns the event of any text."""

    class Any_(GatewayStarted):  # noqa: N801 - made up
        def text(self) -> str:
            return text

    made = Any_("1", "a", "b", "c")
    type(made).kind = kind
    return chained(made, sequence=sequence, time=time, previous_hash=previous)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--checkpoints", "KEPT"), "belong together"),
        (("--public-key", "PUBLIC"), "belong together"),
        (("--checkpoints", "KEPT", "--public-key", "PRIVATE"), "holds no public key"),
        (("--checkpoints", "EMPTY", "--public-key", "PUBLIC"), "holds no checkpoint"),
        (("--checkpoints", "FORGED", "--public-key", "PUBLIC"), "line 1 is no checkpoint signed by this key"),
        (("--checkpoints", "MISSING", "--public-key", "PUBLIC"), "cannot be relied on"),
    ],
)
async def test_checkpoints_that_cannot_be_relied_on_are_told(
    tmp_path: Path, keys: tuple[Path, Path], options: tuple[str, ...], said: str
) -> None:
    database = await told_story(tmp_path / "ledger.db")
    named = {"KEPT": kept_in(tmp_path, *points(database, 3)), "PRIVATE": keys[0], "PUBLIC": keys[1]}
    for name, text in (("EMPTY", "\n"), ("FORGED", line(key=Ed25519PrivateKey.generate()))):
        (tmp_path / name).write_text(text)
        named[name] = tmp_path / name

    outcome = verify(database, *(named.get(one, tmp_path / one if one.isupper() else one) for one in options))

    assert outcome.exit_code == 2
    assert said in outcome.stderr
