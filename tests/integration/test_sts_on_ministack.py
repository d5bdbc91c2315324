"""The STS adapter against a local AWS that enforces signatures, trust and session policies: the keys it brings work."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError
from tests.e2e.sts_relay import sts_relay
from tests.sts_orders import CEILING, an_order

from remit_sandbox.aws_client import AwsKeys
from remit_sandbox.local_aws import LocalAws
from remit_sandbox.sample_account import SampleAccount
from remit_server.adapters.aws.sts import AwsSts
from remit_server.adapters.system_clock import SystemClock
from remit_server.config.settings import AwsSettings
from remit_server.domain.credentials import SessionOrder
from remit_server.domain.entitlement import Role
from remit_server.domain.errors import Outage
from remit_server.domain.secret import Secret

pytestmark = pytest.mark.asyncio(loop_scope="session")
CLOCK = SystemClock()


@pytest.fixture
def role(sample_account: SampleAccount) -> Role:
    arn = sample_account.role_arns["remit-reports"]
    return Role(arn, sample_account.region, CEILING, max_session=timedelta(hours=1))


@pytest.fixture
def order(role: Role) -> SessionOrder:
    return an_order(role)


@pytest.fixture
def gateway(local_aws: LocalAws, sample_account: SampleAccount) -> Iterator[AwsSettings]:
    """Settings that reach the account through a relay, which logs each call (invariant I3)."""
    with sts_relay(local_aws.endpoint_url) as relay:
        yield AwsSettings(
            region=local_aws.region,
            endpoint_url=relay.url,
            access_key_id=sample_account.gateway_keys.access_key_id,
            secret_access_key=Secret(sample_account.gateway_keys.secret_access_key),
        )


@pytest_asyncio.fixture(loop_scope="session")
async def sts(gateway: AwsSettings, role: Role) -> AsyncIterator[AwsSts]:
    adapter = AwsSts(gateway, [role], clock=CLOCK)
    yield adapter
    await adapter.close()


async def test_the_session_reads_what_its_policy_allows_and_nothing_else(
    local_aws: LocalAws, sts: AwsSts, order: SessionOrder
) -> None:
    session = await sts(order, deadline=CLOCK.monotonic() + 10)

    keys = session.credentials
    s3 = local_aws.client(
        "s3", AwsKeys(keys.access_key_id, keys.secret_access_key.reveal(), keys.session_token.reveal())
    )
    text = s3.get_object(Bucket="reports", Key="2026/q3/summary.md")["Body"].read()
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.get_object(Bucket="reports", Key="hr/salaries.csv")
    assert text.startswith(b"# Q3")


async def test_the_session_carries_the_name_that_was_ordered(
    local_aws: LocalAws, sts: AwsSts, order: SessionOrder, sample_account: SampleAccount
) -> None:
    session = await sts(order, deadline=CLOCK.monotonic() + 10)

    keys = session.credentials
    own = AwsKeys(keys.access_key_id, keys.secret_access_key.reveal(), keys.session_token.reveal())
    arn = local_aws.client("sts", own).get_caller_identity()["Arn"]
    assert arn == sample_account.session_arn("remit-reports", order.session_name)


async def test_a_trust_policy_that_wants_our_tags_refuses_a_session_without_them(
    local_aws: LocalAws, gateway: AwsSettings, role: Role, order: SessionOrder
) -> None:
    # Past the relay: no gateway makes such an order, and the log holds what gateways send.
    straight = AwsSts(replace(gateway, endpoint_url=local_aws.endpoint_url), [role], clock=CLOCK)

    with pytest.raises(Outage, match="sts:TagSession") as raised:
        await straight(replace(order, tags=()), deadline=CLOCK.monotonic() + 10)
    await straight.close()

    assert raised.value.credentials_may_exist is False


async def test_a_wrong_secret_of_the_gateway_is_told_as_such(
    gateway: AwsSettings, role: Role, order: SessionOrder
) -> None:
    wrong = AwsSts(replace(gateway, secret_access_key=Secret("not-the-secret-of-this-key")), [role], clock=CLOCK)

    with pytest.raises(Outage, match="signature") as raised:
        await wrong(order, deadline=CLOCK.monotonic() + 10)
    await wrong.close()

    assert raised.value.credentials_may_exist is False
