"""The strict fake STS: every limit of AWS that the local AWS does not enforce, at its boundary and one beyond.

Every request here is sent by the test itself and says so; one that the fake takes is a good one, and proved like any.
"""

import json
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import aiohttp
import pytest
from tests.fake_sts import (
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    STRAIGHT,
    TRUSTED,
    FakeRole,
    FakeSts,
    Request,
    answering,
    answering_late,
    hanging,
    mislabelled,
    refusing,
    resetting_after_the_work,
    resetting_before_the_work,
    stopping_halfway,
    throttling,
)
from tests.sts_log import LOG, Ceiling
from tests.sts_orders import CEILING, CLOCK, POLICY, REPORTS_ARN, a_policy_of, an_order

from remit_server.adapters.aws.sigv4 import AwsKeys, SigV4
from remit_server.adapters.aws.sts_protocol import assume_role_body
from remit_server.domain.secret import Secret

Form = dict[str, str | None]


def form_with(changes: Form) -> dict[str, str]:
    """Returns the form of a good order with these fields changed or, for None, left out."""
    form = {**dict(parse_qsl(assume_role_body(an_order()).decode())), **changes}
    return {name: value for name, value in form.items() if value is not None}


def tags(*pairs: tuple[str, str]) -> Form:
    """Returns form fields for these tags beside the two that every good order has."""
    fields: Form = {}
    for number, (key, value) in enumerate(pairs, start=3):
        fields |= {f"Tags.member.{number}.Key": key, f"Tags.member.{number}.Value": value}
    return fields


async def sent(
    changes: Form, *, sts: FakeSts | None = None, role: FakeRole | None = None, **signing: Any
) -> tuple[int, Request]:
    """Sends a signed form straight to a fake STS; returns the HTTP status and the request as the fake saw it."""
    LOG.configure(REPORTS_ARN, Ceiling(CEILING.text))
    body = urlencode(form_with(changes), quote_via=quote).encode("ascii") + signing.get("before_signing", b"")
    keys = AwsKeys(ACCESS_KEY_ID, Secret(SECRET_ACCESS_KEY), signing.get("token"))
    async with sts or FakeSts((role or FakeRole(REPORTS_ARN),)) as running, aiohttp.ClientSession() as client:
        host, region = running.url.removeprefix("http://"), signing.get("region", "eu-central-1")
        headers = SigV4("sts").headers(host=host, body=body, region=region, keys=keys, now=CLOCK.now())
        body += signing.get("after_signing", b"")
        async with client.post(running.url, data=body, headers={**headers, STRAIGHT: "yes"}) as response:
            await response.read()
            return response.status, running.requests[-1]


LETTER = "\u00fc"
TAKEN: dict[str, Form] = {
    "a good order": {},
    "a session name of 64": {"RoleSessionName": "a" * 64},
    "a source identity of 64": {"SourceIdentity": "acme." + "a" * 59},
    "900 seconds": {"DurationSeconds": "900"},
    "3,600 seconds when chaining": {"DurationSeconds": "3600"},
    "a policy of 2,048": {"Policy": a_policy_of(2048)},
    "50 tags": tags(*((f"k{number}", "v") for number in range(48))),
    "a tag key of 128": tags(("k" * 128, "v")),
    "a tag value of 256": tags(("k", "v" * 256)),
    "an empty tag value": tags(("k", "")),
    "letters, spaces and digits of Unicode in a tag": tags((f"k {LETTER}", "\u0663 _.:/=+-@")),
    "a transitive tag": {"TransitiveTagKeys.member.1": "remit:grant"},
    "an external id of 1,224": {"ExternalId": "x" * 1224},
}
REFUSED: dict[str, tuple[Form, str]] = {
    "a session name of 1": ({"RoleSessionName": "a"}, "ValidationError"),
    "a session name of 65": ({"RoleSessionName": "a" * 65}, "ValidationError"),
    "a session name with a space": ({"RoleSessionName": "a b"}, "ValidationError"),
    "a session name with a letter beyond ASCII": ({"RoleSessionName": f"a{LETTER}"}, "ValidationError"),
    "no session name": ({"RoleSessionName": None}, "ValidationError"),
    "a source identity of 1": ({"SourceIdentity": "a"}, "ValidationError"),
    "a source identity of 65": ({"SourceIdentity": "a" * 65}, "ValidationError"),
    "a source identity with a bar": ({"SourceIdentity": "auth0|x"}, "ValidationError"),
    "a source identity of AWS's own": ({"SourceIdentity": "aws:alice"}, "ValidationError"),
    "no source identity where the role wants one": ({"SourceIdentity": None}, "AccessDenied"),
    "899 seconds": ({"DurationSeconds": "899"}, "ValidationError"),
    "3,601 seconds when chaining": ({"DurationSeconds": "3601"}, "ValidationError"),
    "a duration in words": ({"DurationSeconds": "\u0663600"}, "ValidationError"),
    "no policy": ({"Policy": None}, "NoSessionPolicy"),
    "an empty policy": ({"Policy": ""}, "NoSessionPolicy"),
    "a policy of 2,049": ({"Policy": a_policy_of(2049)}, "ValidationError"),
    "a policy with a character above U+00FF": (
        {"Policy": POLICY.replace("reports", "report\u0161")},
        "ValidationError",
    ),
    "a policy with a control character": ({"Policy": POLICY.replace(":", ":\x00", 1)}, "ValidationError"),
    "51 tags": (tags(*((f"k{number}", "v") for number in range(49))), "ValidationError"),
    "a tag key of 129": (tags(("k" * 129, "v")), "ValidationError"),
    "an empty tag key": (tags(("", "v")), "ValidationError"),
    "a tag value of 257": (tags(("k", "v" * 257)), "ValidationError"),
    "a tag with a bar": (tags(("k", "a|b")), "ValidationError"),
    "a tag of AWS's own": (tags(("aws:k", "v")), "ValidationError"),
    "a tag key twice": (tags(("k", "a"), ("k", "b")), "ValidationError"),
    "a tag key twice, in another case": (tags(("Remit:Grant", "a.b.c")), "ValidationError"),
    "tags that skip a number": ({"Tags.member.9.Key": "k", "Tags.member.9.Value": "v"}, "ValidationError"),
    "a transitive key that is no tag": ({"TransitiveTagKeys.member.1": "other"}, "InvalidParameterValue"),
    "51 transitive keys": ({f"TransitiveTagKeys.member.{n}": "remit:grant" for n in range(51)}, "ValidationError"),
    "tags that overflow the packed size": (tags(*((f"k{n}", "v" * 256) for n in range(9))), "PackedPolicyTooLarge"),
    "an external id of 1": ({"ExternalId": "x"}, "ValidationError"),
    "an external id of 1,225": ({"ExternalId": "x" * 1225}, "ValidationError"),
    "another action": ({"Action": "GetSessionToken"}, "InvalidAction"),
    "another role": ({"RoleArn": "arn:aws:iam::111122223333:role/admin"}, "AccessDenied"),
}


@pytest.mark.parametrize("name", TAKEN)
async def test_what_stands_at_a_limit_is_taken(name: str) -> None:
    status, request = await sent(TAKEN[name])

    assert (status, request.outcome) == (200, "issued")


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_one_beyond_a_limit_is_refused(name: str) -> None:
    changes, code = REFUSED[name]

    status, request = await sent(changes)

    assert (request.outcome, request.issued) == (code, None)
    assert status >= 400


@pytest.mark.parametrize(
    ("role", "seconds", "outcome"),
    [
        (FakeRole(REPORTS_ARN, max_session_seconds=43_200, chained=False), "43200", "issued"),
        (FakeRole(REPORTS_ARN, max_session_seconds=43_200, chained=False), "43201", "ValidationError"),
        (FakeRole(REPORTS_ARN, max_session_seconds=7200, chained=False), "7200", "issued"),
        (FakeRole(REPORTS_ARN, max_session_seconds=7200, chained=False), "7201", "ValidationError"),
        (FakeRole(REPORTS_ARN, max_session_seconds=43_200), "3601", "ValidationError"),
    ],
)
async def test_a_session_is_bounded_by_its_role_and_by_chaining(role: FakeRole, seconds: str, outcome: str) -> None:
    _, request = await sent({"DurationSeconds": seconds}, role=role)

    assert request.outcome == outcome


def with_statement(**changes: Any) -> str:
    """Returns the policy with its Allow changed; None takes an element out."""
    policy = json.loads(POLICY)
    changed = {**policy["Statement"][0], **changes}
    policy["Statement"][0] = {name: value for name, value in changed.items() if value is not None}
    return json.dumps(policy)


MALFORMED = {
    "no JSON": "{",
    "a nest without end": "[" * 2000,
    "a list": "[]",
    "no statement": '{"Version":"2012-10-17"}',
    "an empty list of statements": '{"Version":"2012-10-17","Statement":[]}',
    "no version": POLICY.replace("Version", "Id", 1),
    "another version": POLICY.replace("2012-10-17", "2026-01-01"),
    "a key twice": POLICY.replace('"Effect":"Allow"', '"Effect":"Deny","Effect":"Allow"'),
    "an unknown element of the policy": POLICY.replace("{", '{"Comment":"x",', 1),
    "an unknown element of a statement": with_statement(Comment="x"),
    "a principal": with_statement(Principal="*"),
    "another effect": with_statement(Effect="allow"),
    "no action": with_statement(Action=None),
    "no actions": with_statement(Action=[]),
    "both kinds of action": with_statement(NotAction="s3:PutObject"),
    "an action without a service": with_statement(Action="GetObject"),
    "two actions in one text": with_statement(Action="s3:GetObject,s3:PutObject"),
    "an action with a space": with_statement(Action="s3:GetObject "),
    "no resource": with_statement(Resource=None),
    "a short ARN": with_statement(Resource="arn:aws:s3"),
    "a path as a resource": with_statement(Resource="reports/2026"),
    "another partition": with_statement(Resource="arn:azure:s3:::reports"),
    "an unknown operator": with_statement(Condition={"StringAlike": {"aws:x": "1"}}),
    "a condition without values": with_statement(Condition={"StringLike": {"aws:x": []}}),
    "a condition on a number": with_statement(Condition={"StringLike": {"aws:x": 1}}),
    "a statement id with a space": with_statement(Sid="a b"),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_is_no_session_policy_in_awss_grammar_is_refused(name: str) -> None:
    status, request = await sent({"Policy": MALFORMED[name]})

    assert (status, request.outcome) == (400, "MalformedPolicyDocument")


async def test_a_tag_that_the_callers_own_session_inherited_cannot_be_passed_again() -> None:
    inheriting = FakeSts((FakeRole(REPORTS_ARN),), inherited=["Remit:Grant"])

    status, request = await sent({}, sts=inheriting)

    assert (status, request.outcome) == (400, "InvalidParameterValue")


@pytest.mark.parametrize("action", sorted(TRUSTED))
async def test_a_trust_policy_without_one_of_its_three_actions_refuses(action: str) -> None:
    status, request = await sent({}, role=FakeRole(REPORTS_ARN, trusts=TRUSTED - {action}))

    assert (status, request.outcome) == (403, "AccessDenied")


@pytest.mark.parametrize("external_id", [None, "tenant-two"])
async def test_a_trust_policy_with_an_external_id_refuses_any_other(external_id: str | None) -> None:
    status, request = await sent({"ExternalId": external_id}, role=FakeRole(REPORTS_ARN, external_id="tenant-one"))

    assert (status, request.outcome) == (403, "AccessDenied")


async def test_a_region_that_is_switched_off_refuses() -> None:
    switched_off = FakeSts((FakeRole(REPORTS_ARN),), disabled_regions=["me-south-1"])

    status, request = await sent({}, sts=switched_off, region="me-south-1")

    assert (status, request.outcome) == (403, "RegionDisabledException")


async def test_a_caller_whose_own_session_is_over_is_refused() -> None:
    over = FakeSts((FakeRole(REPORTS_ARN),), expired_tokens=["yesterdays-token"])

    status, request = await sent({}, sts=over, token=Secret("yesterdays-token"))

    assert (status, request.outcome) == (403, "ExpiredToken")


async def test_a_body_that_was_changed_after_it_was_signed_is_refused() -> None:
    status, request = await sent({}, after_signing=b"&x=y")

    assert (status, request.outcome) == (403, "SignatureDoesNotMatch")


async def test_a_field_that_stands_twice_is_refused() -> None:
    twice = FakeSts((FakeRole(REPORTS_ARN),))

    status, request = await sent({}, sts=twice, before_signing=b"&DurationSeconds=3600")

    assert (status, request.outcome) == (400, "MalformedInput")


@pytest.mark.parametrize(("percent", "outcome"), [(100, "issued"), (101, "PackedPolicyTooLarge")])
async def test_the_packed_size_may_reach_its_limit(percent: int, outcome: str) -> None:
    _, request = await sent({}, sts=FakeSts((FakeRole(REPORTS_ARN),), packed_percent=lambda _: percent))

    assert request.outcome == outcome


@pytest.mark.parametrize(
    ("fault", "status", "made"),
    [
        (throttling, 400, 0),
        (refusing(503, "ServiceUnavailable"), 503, 0),
        (answering(200, "<a>"), 200, 0),
        (mislabelled, 200, 1),
        (resetting_before_the_work, None, 0),
        (resetting_after_the_work, None, 1),
        (stopping_halfway, None, 1),
    ],
)
async def test_it_fails_on_command_with_or_without_having_made_a_session(
    fault: Any, status: int | None, made: int
) -> None:
    sts = FakeSts((FakeRole(REPORTS_ARN),))
    sts.plan(fault)

    try:
        found, _ = await sent({}, sts=sts)
    except aiohttp.ClientError:
        found = None

    assert found == status
    assert len(sts.issued) == made


@pytest.mark.parametrize(("fault", "status"), [(hanging, 500), (answering_late, 200)])
async def test_it_keeps_a_caller_waiting_until_it_is_told_to_answer(fault: Any, status: int) -> None:
    sts = FakeSts((FakeRole(REPORTS_ARN),))
    sts.plan(fault)
    sts.released.set()

    found, _ = await sent({}, sts=sts)

    assert found == status
    assert len(sts.issued) == 1
