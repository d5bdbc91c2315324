"""What an approval says is new: also where the session policies are written densely."""

from datetime import UTC, datetime

import pytest

from remit_server.application.approvals.asking import added
from remit_server.iam import Derived, Document, derive

END = datetime(2026, 12, 1, tzinfo=UTC)
REPORTS = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::reports/*"}]}'
)


def session(*teams: int) -> str:
    """Returns the session policy for reading the reports of these teams."""
    resources = [f"arn:aws:s3:::reports/2026/team-{team:03d}/*" for team in teams]
    intent = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": resources}],
    }
    found = derive(Document.parse(intent), [Document.parse(REPORTS)], end=END)
    assert isinstance(found, Derived)
    return found.text


@pytest.mark.parametrize("count", [3, 24])
def test_what_a_task_does_not_have_is_new_whatever_the_form_of_what_it_has(count: int) -> None:
    new = added(session(99), [session(*range(count))])

    assert [[str(resource) for resource in one.resources] for one in new] == [["arn:aws:s3:::reports/2026/team-099/*"]]


@pytest.mark.parametrize("count", [3, 24])
def test_what_a_task_has_is_not_new_whatever_the_form_of_what_it_has(count: int) -> None:
    assert added(session(1), [session(*range(count))]) == ()


def test_what_is_asked_for_is_read_as_it_was_asked_and_not_as_it_was_widened() -> None:
    (new,) = added(session(*range(24)), [session(99)])

    assert len(new.resources) == 24
