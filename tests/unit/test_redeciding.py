"""What is decided again takes the path that live calls take, and its circumstances come back as they were kept."""

from datetime import UTC, datetime, timedelta

import pytest

from remit_server.application.planning.circumstances import Circumstances, KeptSpan, circumstances_of
from remit_server.domain.permission import Permission
from remit_server.domain.task import Capability
from remit_server.iam import ActionPattern, Condition, ResourcePattern

NOW = datetime(2026, 11, 29, 12, 30, 45, 123456, tzinfo=UTC)
READS = Permission(
    (ActionPattern.parse("s3:GetObject"), ActionPattern.parse("S3:getobjecttagging")),
    (ResourcePattern.parse("arn:aws:s3:::reports/2026/*"),),
    (Condition("StringEquals", "aws:PrincipalTag/team", ("a", "b")),),
)


@pytest.mark.parametrize(
    "circumstances",
    [
        Circumstances((READS,), (), None, narrowed=False, task=None, token_end=None, approval_end=None, now=NOW),
        Circumstances(
            (),
            (Capability("s3.read_prefix", {"bucket": "reports", "prefix": "2026/"}),),
            timedelta(seconds=90.5),
            narrowed=True,
            task=KeptSpan(NOW - timedelta(hours=1), NOW + timedelta(hours=1)),
            token_end=NOW + timedelta(minutes=5),
            approval_end=NOW + timedelta(minutes=10),
            now=NOW,
        ),
    ],
    ids=["plain", "everything"],
)
def test_circumstances_come_back_from_their_text_as_they_were(circumstances: Circumstances) -> None:
    again = circumstances_of(circumstances.kept.text)

    assert again == circumstances
    assert again.kept.text == circumstances.kept.text


@pytest.mark.parametrize("text", ["{}", "[]", '{"version":1}', "null", '{"version":2}'])
def test_what_is_no_text_of_circumstances_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="circumstances"):
        circumstances_of(text)
