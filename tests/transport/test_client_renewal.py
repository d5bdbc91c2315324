"""Credentials are renewed in time and no oftener, end when they were meant to, and are gone with their task."""

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from tests.scripted_gateway import (
    CANARIES,
    GRANT,
    REPORTS,
    SECRET_KEY,
    SUBJECT_TOKEN,
    TASK_ID,
    Held,
    ScriptedGateway,
    issued,
    renewed,
    scripted_gateway,
)

import remit
from remit.calling import mapping
from remit.keeping.boto3_session import boto3_session
from remit.keeping.renewal import Keyring
from remit.secret import Secret
from remit_server.domain.errors import Denied, Outage, Reason, Refusal, Remedy

FIRST, SECOND = "ASIAREMIT00000000001", "ASIAREMIT00000000002"


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@pytest.fixture(autouse=True)
def no_aws_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Gives the environment credentials that must not be used, and no profile."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHEENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-environment")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedGateway]:
    with scripted_gateway(tmp_path) as server:
        yield server


@pytest.fixture
def begin(server: ScriptedGateway) -> Iterator[Callable[..., remit.TaskBlock]]:
    with server.connect() as gateway:

        def begin(duration: int | None = None) -> remit.TaskBlock:
            return gateway.task("summarise Q3", subject_token=SUBJECT_TOKEN, allow=REPORTS, duration=duration)

        yield begin


Begin = Callable[..., remit.TaskBlock]


def key_of(session: boto3.Session) -> str:
    """Returns the key that would sign now, asked for as botocore's signers do at every use."""
    credentials = session.get_credentials()
    assert credentials is not None
    return str(credentials.get_frozen_credentials().access_key)


def signer_of(session: boto3.Session) -> Callable[[], str]:
    """Returns a function that has a real client sign a request and returns the key that did."""
    client = session.client("s3", config=Config(signature_version="s3v4"))

    def sign() -> str:
        url: str = client.generate_presigned_url("get_object", Params={"Bucket": "reports", "Key": "q3"})
        return url.partition("X-Amz-Credential=")[2].partition("%2F")[0]

    return sign


@pytest.mark.parametrize("lifetime", [900, 60, 20, 3600])
def test_twenty_uses_in_a_row_are_one_fetch(lifetime: int, begin: Begin, server: ScriptedGateway) -> None:
    server.issue_answers.append(issued(1, lifetime=seconds(lifetime)))

    with begin() as task:
        session = task.boto3_session()
        used = {key_of(session) for _ in range(20)} | {task.credentials().access_key_id for _ in range(20)}

    assert used == {FIRST}
    assert (len(server.issues), len(server.renewals)) == (1, 0)


def test_twenty_uses_of_a_twenty_second_task_are_one_fetch(begin: Begin, server: ScriptedGateway) -> None:
    server.issue_answers.append(issued(1, lifetime=seconds(900), left=seconds(20)))

    with begin(duration=20) as task:
        sign = signer_of(task.boto3_session())
        signed_by = {sign() for _ in range(20)}

    assert signed_by == {FIRST}
    assert (len(server.issues), len(server.renewals)) == (1, 0)


@pytest.mark.parametrize(
    ("lifetime", "left", "fetches"), [(900, 125, 1), (900, 115, 2), (60, 22, 1), (60, 18, 2), (360, 118, 2)]
)
def test_credentials_are_renewed_two_minutes_or_a_third_of_their_life_before_they_end(
    lifetime: int, left: int, fetches: int, begin: Begin, server: ScriptedGateway
) -> None:
    server.issue_answers.append(issued(1, lifetime=seconds(lifetime), left=seconds(left)))

    with begin() as task:
        session = task.boto3_session()
        used = [key_of(session) for _ in range(3)]

    assert used == [FIRST if fetches == 1 else SECOND] * 3
    assert len(server.issues) + len(server.renewals) == fetches


@pytest.mark.parametrize(("lifetime", "windows"), [(900, (120, 60)), (60, (20, 10)), (3600, (120, 60))])
def test_botocore_is_told_when_to_ask(
    lifetime: int, windows: tuple[int, int], begin: Begin, server: ScriptedGateway
) -> None:
    server.issue_answers.append(issued(1, lifetime=seconds(lifetime)))

    with begin() as task:
        credentials = task.boto3_session().get_credentials()

    assert isinstance(credentials, RefreshableCredentials)
    told = vars(credentials)
    assert (told["_advisory_refresh_timeout"], told["_mandatory_refresh_timeout"]) == windows


def test_a_renewal_asks_for_the_same_grant_again_with_the_users_token(begin: Begin, server: ScriptedGateway) -> None:
    server.issue_answers.append(issued(1, left=seconds(-1)))

    with begin() as task:
        first, renewed_key = task.grant.expire_time, task.credentials()

    (request,) = server.renewals
    assert (request.name, request.subject_token, request.narrow) == (GRANT, SUBJECT_TOKEN, False)
    assert not request.HasField("requested_duration")
    assert len(server.issues) == 1
    assert renewed_key.access_key_id == SECOND
    assert task.grant.expire_time == renewed_key.expire_time > first


@pytest.mark.parametrize("gone", ["refused", "raises"])
def test_where_agreed_on_a_grant_is_renewed_without_the_user(gone: str, server: ScriptedGateway) -> None:
    first = issued(1, left=seconds(-1))
    first.grant.offline_renewal = True
    server.issue_answers.append(first)
    tokens = iter([SUBJECT_TOKEN])

    def token() -> str:
        if (known := next(tokens, None)) is None and gone == "raises":
            raise LookupError("signed out")
        return known or "over"

    if gone == "refused":
        server.renew_answers.append(Denied(Reason.SUBJECT_TOKEN_REJECTED, "it is over"))
    with server.connect() as gateway, gateway.task("q3", subject_token=token, allow=REPORTS) as task:
        credentials = task.credentials()

    assert credentials.access_key_id.startswith("ASIAREMIT")
    assert [request.subject_token for request in server.renewals] == ["over", ""][-len(server.renewals) :]


def test_elsewhere_the_user_has_to_be_there(begin: Begin, server: ScriptedGateway) -> None:
    server.issue_answers.append(issued(1, left=seconds(-1)))
    server.renew_answers.append(Denied(Reason.SUBJECT_TOKEN_REJECTED, "it is over"))

    with begin() as task, pytest.raises(remit.Unauthenticated):
        task.credentials()

    assert len(server.renewals) == 1


async def test_an_event_loops_credentials_are_renewed_too(begin: Begin, server: ScriptedGateway) -> None:
    server.issue_answers.append(issued(1, left=seconds(-1)))

    async with begin() as task:
        keys = {found.access_key_id for found in await asyncio.gather(*(task.credentials() for _ in range(5)))}
        used = await asyncio.to_thread(key_of, task.boto3_session())

    assert (keys, used) == ({SECOND}, SECOND)
    assert (len(server.issues), len(server.renewals)) == (1, 1)


def test_threads_and_sessions_of_a_task_share_one_renewal(begin: Begin, server: ScriptedGateway) -> None:
    server.issue_answers.append(issued(1, left=seconds(-1)))
    server.renew_answers.append(renewed(2))
    together = threading.Barrier(8)

    def use(task: remit.Task) -> str:
        together.wait(timeout=30)
        return key_of(task.boto3_session())

    with begin() as task, ThreadPoolExecutor(8) as threads:
        used = set(threads.map(use, [task] * 8))

    assert used == {SECOND}
    assert (len(server.issues), len(server.renewals)) == (1, 1)


def test_while_one_thread_renews_in_good_time_the_others_go_on(begin: Begin, server: ScriptedGateway) -> None:
    slow = Held(renewed(2))
    server.issue_answers.append(issued(1, left=seconds(100)))
    server.renew_answers.append(slow)

    with begin() as task, ThreadPoolExecutor(1) as threads:
        renewing = threads.submit(task.credentials)
        assert slow.arrived.wait(timeout=30)
        meanwhile = task.credentials()
        slow.release.set()
        second = renewing.result(timeout=30)

    assert (meanwhile.access_key_id, second.access_key_id) == (FIRST, SECOND)


def test_a_task_of_a_certain_duration_ends_and_is_not_renewed(begin: Begin, server: ScriptedGateway) -> None:
    server.issue_answers.append(issued(1, lifetime=seconds(900), left=seconds(-1)))

    with begin(duration=20) as task:
        with pytest.raises(remit.TaskOver, match="its time is over"):
            task.credentials()
        with pytest.raises(remit.TaskOver, match="its time is over"):
            task.boto3_session()

    assert (len(server.issues), len(server.renewals)) == (1, 0)


def test_a_session_says_when_the_time_of_its_task_is_over() -> None:
    start = datetime.now(UTC)
    times = [start]
    first = mapping.issued(Secret(issued(1, lifetime=seconds(20))), "r")
    session = boto3_session(Keyring(TASK_ID, first, renew=None, now=lambda: times[-1]), None)

    before = key_of(session)
    times.append(first.credentials.expire_time)

    assert before == FIRST
    with pytest.raises(remit.TaskOver, match="its time is over"):
        key_of(session)


def test_credentials_that_work_outlast_an_outage(
    begin: Begin, server: ScriptedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    server.issue_answers.append(issued(1, left=seconds(30)))
    server.renew_answers.append(Outage(Reason.INTERNAL, "internal error"))

    with begin() as task:
        keys = [task.credentials().access_key_id for _ in range(20)]

    assert keys == [FIRST] * 20
    assert (len(server.issues), len(server.renewals)) == (1, 1)
    (record,) = [record for record in caplog.records if record.name == "remit"]
    assert "were not renewed (INTERNAL)" in record.getMessage()


def test_a_token_function_that_fails_does_not_take_credentials_away_that_work(
    server: ScriptedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    server.issue_answers.append(issued(1, left=seconds(30)))
    tokens = iter([SUBJECT_TOKEN])

    def token() -> str:
        for known in tokens:
            return known
        raise LookupError(f"no token after {SUBJECT_TOKEN}")

    with server.connect() as gateway, gateway.task("q3", subject_token=token, allow=REPORTS) as task:
        credentials = task.credentials()

    assert credentials.access_key_id == FIRST
    assert "were not renewed (LookupError)" in caplog.text
    assert SUBJECT_TOKEN not in caplog.text


@pytest.mark.parametrize(("lifetime", "left"), [(60, 15), (900, 10)])
def test_no_renewal_is_waited_for_beyond_the_credentials_that_it_renews(
    lifetime: int, left: int, begin: Begin, server: ScriptedGateway
) -> None:
    waited: list[float] = []

    def slow(context: Any) -> Any:
        waited.append(context.time_remaining())
        return renewed()

    server.issue_answers.append(issued(1, lifetime=seconds(lifetime), left=seconds(left)))
    server.renew_answers.append(slow)

    with begin() as task:
        task.credentials()

    assert len(waited) == 1
    assert waited[0] < left


def test_a_refused_renewal_is_raised_once_the_credentials_have_ended(begin: Begin, server: ScriptedGateway) -> None:
    no = Denied(Reason.POLICY_DENIED, "alice left the team", Refusal(remedy=Remedy.GIVE_UP))
    server.issue_answers.append(issued(1, left=seconds(-1)))
    server.renew_answers.append(no)

    with begin() as task, pytest.raises(remit.Refused, match="alice left the team"):
        task.credentials()


@pytest.mark.parametrize("reason", [Reason.GRANT_NOT_LIVE, Reason.NOT_FOUND])
def test_a_task_that_the_gateway_ended_is_over_at_once(reason: Reason, begin: Begin, server: ScriptedGateway) -> None:
    server.issue_answers.append(issued(1, left=seconds(100)))
    server.renew_answers.append(Denied(reason, "the task is over"))

    with begin() as task:
        with pytest.raises(remit.RemitError, match="the task is over"):
            task.credentials()
        with pytest.raises(remit.TaskOver):
            task.credentials()

    assert (len(server.issues), len(server.renewals)) == (1, 1)


def test_a_clock_that_is_ahead_is_told_and_does_not_make_a_storm(begin: Begin, server: ScriptedGateway) -> None:
    server.issue_answers.append(issued(1, left=seconds(-1)))
    server.renew_answers.append(renewed(2, left=seconds(-1)))

    with begin() as task, pytest.raises(remit.Unavailable, match="clock of this machine is ahead"):
        task.credentials()

    assert (len(server.issues), len(server.renewals)) == (1, 1)


def test_a_session_uses_no_credentials_but_the_tasks(begin: Begin) -> None:
    with begin() as task:
        session = task.boto3_session()
        found = session.get_credentials()
        region, other = session.region_name, task.boto3_session("us-west-2").region_name

    assert found is not None
    assert found.method == "remit"
    assert (region, other) == ("eu-central-1", "us-west-2")


def test_a_session_is_dead_once_its_task_is_over(begin: Begin) -> None:
    with begin() as task:
        session = task.boto3_session()
        sign = signer_of(session)
        found = session.get_credentials()

    assert isinstance(found, RefreshableCredentials)
    for use in (found.get_frozen_credentials, lambda: found.token, sign, task.boto3_session):
        with pytest.raises(remit.TaskOver, match="it was ended"):
            use()


def test_keys_are_dropped_from_memory_when_the_task_is_over(begin: Begin) -> None:
    with begin() as task:
        session = task.boto3_session()
        key_of(session)

    gc.collect()
    holders = [vars(task), vars(task._keyring), vars(session.get_credentials())]
    held = [value for holder in holders for value in holder.values()]
    assert not [value for value in held if isinstance(value, remit.Credentials)]
    assert SECRET_KEY not in [part for value in held for part in (value if isinstance(value, tuple) else (value,))]


def test_a_renewal_that_comes_after_the_end_is_dropped(begin: Begin, server: ScriptedGateway) -> None:
    slow = Held(renewed(2))
    server.issue_answers.append(issued(1, left=seconds(-1)))
    server.renew_answers.append(slow)

    with ThreadPoolExecutor(1) as threads:
        with begin() as task:
            renewing = threads.submit(task.credentials)
            assert slow.arrived.wait(timeout=30)
        slow.release.set()

        with pytest.raises(remit.TaskOver, match="it was ended"):
            renewing.result(timeout=30)


def test_nothing_of_boto3s_prints_or_logs_a_secret(
    begin: Begin, server: ScriptedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="botocore.credentials")
    server.issue_answers.append(issued(1, left=seconds(-1)))

    with begin() as task:
        session = task.boto3_session()
        credentials = session.get_credentials()
        key_of(session)
        told = f"{session!r} {credentials!r} {credentials} {caplog.text}"

    assert not [canary for canary in CANARIES if canary in told]


def test_a_session_leaves_botocores_defaults_alone(begin: Begin) -> None:
    with begin() as task:
        task.boto3_session()

    found = botocore.session.get_session().get_credentials()
    assert found is not None
    assert found.access_key == "AKIAOFTHEENVIRONMENT"
