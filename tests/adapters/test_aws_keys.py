"""The gateway's own AWS keys: resolved once, replaced before they end, printed never."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from botocore.credentials import RefreshableCredentials
from tests.fake_sts import (
    FakeRole,
    FakeSts,
)
from tests.sts_orders import CLOCK, REPORTS_ARN, a_role, calling

from remit_server.adapters.aws.keys import AmbientKeys
from remit_server.adapters.aws.sts import AwsSts
from remit_server.config.settings import AwsSettings
from remit_server.domain.entitlement import AssumedBy
from remit_server.domain.errors import Outage, Reason


class Platform:
    """Gives keys for an hour through botocore's own credentials object, on a clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.given: list[str] = []
        self.away = False
        self.keys = AmbientKeys(monotonic=lambda: self.seconds, resolve=self._resolve)

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=self.seconds)

    async def refreshed(self) -> None:
        """Returns when no refresh runs in the background."""
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name().startswith("refresh of")))

    def _fresh(self) -> dict[str, str]:
        if self.away:
            raise OSError("the metadata service is away")
        self.given.append(f"ASIAGATEWAY{len(self.given):09d}")
        number = len(self.given)
        end = self.now() + timedelta(hours=1)
        return {
            "access_key": self.given[-1],
            "secret_key": f"secret-{number}",
            "token": f"token-{number}",
            "expiry_time": end.isoformat(),
        }

    def _resolve(self) -> RefreshableCredentials:
        first = self._fresh()
        end = self.now() + timedelta(hours=1)
        keys = (first["access_key"], first["secret_key"], first["token"])
        return RefreshableCredentials(*keys, end, self._fresh, "test", time_fetcher=self.now)


async def test_ambient_keys_are_resolved_once_for_many_callers() -> None:
    platform = Platform()

    answers = await asyncio.gather(*[platform.keys() for _ in range(20)])

    assert len(platform.given) == 1
    assert {answer.access_key_id for answer in answers} == set(platform.given)


async def test_keys_near_their_end_are_replaced_behind_the_callers_back() -> None:
    platform = Platform()
    await platform.keys()

    platform.seconds = 3600 - 500
    meanwhile = await platform.keys()
    await platform.refreshed()
    afterwards = await platform.keys()

    assert (meanwhile.access_key_id, afterwards.access_key_id) == tuple(platform.given)


async def test_keys_in_their_last_minute_are_replaced_before_they_are_used() -> None:
    platform = Platform()
    await platform.keys()

    platform.seconds = 3600 - 50
    answer = await platform.keys()

    assert answer.access_key_id == platform.given[1]


async def test_a_platform_that_is_away_costs_nothing_until_the_last_minute() -> None:
    platform = Platform()
    first = await platform.keys()
    platform.away = True

    platform.seconds = 3600 - 500
    meanwhile = await platform.keys()
    with pytest.raises(Outage):
        await platform.refreshed()
    platform.seconds = 3600 - 50
    with pytest.raises(Outage) as raised:
        await platform.keys()

    assert meanwhile is first
    assert raised.value.reason is Reason.STS_UNAVAILABLE


async def test_a_platform_that_fails_is_quoted_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    platform = Platform()
    platform.away = True

    with pytest.raises(Outage) as raised:
        await platform.keys()

    assert "metadata service" not in f"{raised.value} {caplog.text}"


async def test_keys_that_aws_calls_unknown_are_resolved_anew() -> None:
    platform = Platform()
    fake = FakeSts((FakeRole(REPORTS_ARN),), keys={"ASIAGATEWAY000000001": "secret-2"})
    await platform.keys()
    platform.seconds = 60.0

    async with calling(fake=fake, adapter={"keys": platform.keys}) as call:
        await call()

    assert [request.outcome for request in call.sts.requests] == ["InvalidClientTokenId", "issued"]


async def test_keys_that_aws_keeps_calling_unknown_are_resolved_anew_once() -> None:
    platform = Platform()
    await platform.keys()
    platform.seconds = 60.0

    async with calling(adapter={"keys": platform.keys}) as call:
        with pytest.raises(Outage, match="own credentials"):
            await call()

    assert len(call.sts.requests) == 2
    assert len(platform.given) == 2


async def test_without_any_keys_the_operator_is_told_what_to_do() -> None:
    async with calling(adapter={"keys": AmbientKeys(monotonic=CLOCK.monotonic, resolve=lambda: None)}) as call:
        with pytest.raises(Outage, match="task role") as raised:
            await call()

    assert raised.value.reason is Reason.STS_UNAVAILABLE
    assert call.sts.requests == []


async def test_fixed_keys_that_aws_does_not_know_are_not_tried_again() -> None:
    async with calling(access_key_id="AKIAUNKNOWN000000001") as call:
        with pytest.raises(Outage, match="own credentials"):
            await call()

    assert len(call.sts.requests) == 1


async def test_a_gateway_without_keys_says_so_in_its_log_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    platform = Platform()
    platform.away = True

    for platform.seconds in (0.0, 30.0, 59.0, 61.0, 62.0):
        with pytest.raises(Outage):
            await platform.keys()

    told = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(told) == 2
    assert "No credentials can be issued (OSError). The gateway has no AWS credentials" in told[0].getMessage()


async def test_keys_are_looked_for_at_a_start_where_a_role_needs_them(caplog: pytest.LogCaptureFixture) -> None:
    settings, none = AwsSettings("eu-central-1"), AmbientKeys(monotonic=lambda: 0.0, resolve=lambda: None)

    await AwsSts(settings, [a_role(assumed_by=AssumedBy.WEB_IDENTITY)], clock=CLOCK, keys=none).look_for_keys()
    untold = len(caplog.records)
    await AwsSts(settings, [a_role()], clock=CLOCK, keys=none).look_for_keys()

    assert untold == 0
    assert "nothing on this platform gives any" in caplog.text
