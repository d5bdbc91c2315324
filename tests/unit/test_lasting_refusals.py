"""What would outlive the task: an honest refusal that says why and who can change it, and a grant that says so."""

from pathlib import Path

import pytest
from tests.capability_cases import CASES
from tests.fakes import REPORTS_ROLE, World, entitlement, permission, role, world
from tests.policy_bundles import DEFAULT_POLICIES

from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.domain.capability import expand
from remit_server.domain.errors import Denied, Reason, Remedy
from remit_server.domain.permission import Permission
from remit_server.domain.task import Capability
from remit_server.iam import ActionPattern

TOKEN = "ecr:GetAuthorizationToken"
WHOLE_ACCOUNT = entitlement("builds", permission("*", "*"))
ANY_ROLE = {"actions": ["*"], "resources": ["*"]}
REPORT = permission("s3:GetObject", "arn:aws:s3:::reports/2026/*")


def pulling() -> tuple[Permission, ...]:
    capability = Capability("ecr.pull_image", CASES["ecr.pull_image"].parameters)
    return expand(capability, read_bundle(DEFAULT_POLICIES).capabilities, path="c")


async def refusal_of(gateway: World, *wanted: Permission) -> Denied:
    with pytest.raises(Denied) as raised:
        await gateway.issue(gateway.request(*wanted))
    return raised.value


async def test_a_registry_token_is_refused_with_why_and_who_can_change_it(tmp_path: Path) -> None:
    async with world(tmp_path, WHOLE_ACCOUNT, roles=(role(REPORTS_ROLE, **ANY_ROLE),)) as gateway:
        error = await refusal_of(gateway, permission(TOKEN, "*"))

        assert (error.reason, error.remedy) == (Reason.NEVER_ISSUABLE, Remedy.GIVE_UP)
        assert f"{TOKEN} is not issued: what it hands out works on when the task is over" in error.message
        assert "`reopened`" in error.message
        assert "outlives_task" in error.message
        assert [failure.action for failure in error.refusal.failures] == [TOKEN]
        assert gateway.sts.orders == []


async def test_pulling_an_image_is_refused_for_its_token_and_the_rest_is_offered(tmp_path: Path) -> None:
    async with world(tmp_path, WHOLE_ACCOUNT, roles=(role(REPORTS_ROLE, **ANY_ROLE),)) as gateway:
        error = await refusal_of(gateway, *pulling(), REPORT)

        assert error.remedy is Remedy.NARROW
        assert "what it hands out works on when the task is over" in error.message
        assert error.refusal.failures[0].action == TOKEN
        offered = {str(action) for item in error.refusal.offer for action in item.actions}
        assert TOKEN not in offered
        assert {"s3:GetObject", "ecr:BatchGetImage"} <= offered


async def test_a_role_that_re_opens_the_token_issues_it_and_the_grant_says_that_it_outlives_the_task(
    tmp_path: Path,
) -> None:
    reopening = role(REPORTS_ROLE, **ANY_ROLE, reopened=(ActionPattern.parse(TOKEN),))
    async with world(tmp_path, WHOLE_ACCOUNT, roles=(reopening,)) as gateway:
        issued = await gateway.issue(gateway.request(*pulling()))

        assert issued.grant.outlives_task


async def test_a_role_that_re_opens_it_without_an_entitlement_is_no_matter_of_the_floor(tmp_path: Path) -> None:
    reopening = role(REPORTS_ROLE, **ANY_ROLE, reopened=(ActionPattern.parse(TOKEN),))
    async with world(tmp_path, entitlement("reports", REPORT), roles=(reopening,)) as gateway:
        error = await refusal_of(gateway, permission(TOKEN, "*"))

        assert error.reason is Reason.CEILING_EXCEEDED
        assert "entitlements" in error.message


async def test_what_no_operator_can_change_is_told_so(tmp_path: Path) -> None:
    async with world(tmp_path, WHOLE_ACCOUNT, roles=(role(REPORTS_ROLE, **ANY_ROLE),)) as gateway:
        error = await refusal_of(gateway, permission("kms:CreateGrant", "*"))

        assert "never issued, whatever policy says" in error.message
        assert "reopened" not in error.message
