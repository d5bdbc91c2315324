"""Texts of intents: each form, what it comes to in the catalogue, and what a mistake is told."""

import json
import re
from pathlib import Path

import pytest
from tests.policy_bundles import DEFAULT_POLICIES

import remit
from remit.intents import intent_of, parse_allow, parse_allows
from remit.intents.short_forms import SHORT_FORMS
from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.domain.capability import expand
from remit_server.domain.task import Capability

CATALOGUE = read_bundle(DEFAULT_POLICIES).capabilities
HERE = {"region": "eu-central-1", "account": "111122223333"}
PLACE = "eu-central-1/111122223333"
WHOLE = {
    "type": "remit_task",
    "purpose": "summarise Q3",
    "permissions": [
        {
            "actions": ["s3:ListBucket"],
            "resources": ["arn:aws:s3:::reports"],
            "conditions": [{"operator": "StringLike", "key": "s3:prefix", "values": ["2026/*"]}],
        }
    ],
    "capabilities": [{"name": "s3.read_prefix", "parameters": {"bucket": "reports", "prefix": "2026/q3/"}}],
    "labels": {"ticket": "OPS-7"},
}


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("s3:GetObject=arn:aws:s3:::reports/*", remit.Permission("s3:GetObject", "arn:aws:s3:::reports/*")),
        (
            "s3:GetObject, s3:PutObject = arn:aws:s3:::a/*, arn:aws:s3:::b/x,y",
            remit.Permission(["s3:GetObject", "s3:PutObject"], ["arn:aws:s3:::a/*", "arn:aws:s3:::b/x,y"]),
        ),
        ("s3:ListAllMyBuckets=*", remit.Permission("s3:ListAllMyBuckets", "*")),
        (
            "s3.read_prefix bucket=reports prefix=2026/q3/",
            remit.Capability("s3.read_prefix", bucket="reports", prefix="2026/q3/"),
        ),
        (
            '  s3.read_prefix  bucket="reports" prefix="Q3 = final/"',
            remit.Capability("s3.read_prefix", bucket="reports", prefix="Q3 = final/"),
        ),
        ("read s3://reports/2026/q3/*", remit.Capability("s3.read_prefix", bucket="reports", prefix="2026/q3/")),
        ("read s3://reports/2026/a.csv", remit.Capability("s3.read_object", bucket="reports", key="2026/a.csv")),
        ("read s3://reports/*", remit.Permission("s3:GetObject", "arn:aws:s3:::reports/*")),
        ("list s3://reports/2026/", remit.Capability("s3.list_prefix", bucket="reports", prefix="2026/")),
        ("list s3://reports/2026/*", remit.Capability("s3.list_prefix", bucket="reports", prefix="2026/")),
        ("list s3://reports", remit.Permission("s3:ListBucket", "arn:aws:s3:::reports")),
        ("write s3://reports/drafts/*", remit.Capability("s3.write_prefix", bucket="reports", prefix="drafts/")),
        ("write s3://reports/drafts/q4.md", remit.Permission("s3:PutObject", "arn:aws:s3:::reports/drafts/q4.md")),
        ("delete s3://reports/q4.md", remit.Capability("s3.delete_object", bucket="reports", key="q4.md")),
        (
            f"read dynamodb://{PLACE}/orders/customer/7",
            remit.Capability("dynamodb.read_items", table="orders", leading_key="customer/7", **HERE),
        ),
        (f"read secret://{PLACE}/app/db", remit.Capability("secretsmanager.read_secret", name="app/db", **HERE)),
        (f"read ssm://{PLACE}/app/*", remit.Capability("ssm.read_path", path="app/", **HERE)),
        (f"read ssm://{PLACE}/app/url", remit.Capability("ssm.read_parameter", name="app/url", **HERE)),
        (
            f"invoke lambda://{PLACE}/resize:live",
            remit.Capability("lambda.invoke_function", function="resize", qualifier="live", **HERE),
        ),
        (
            '{"type": "remit_task", "capabilities": [{"name": "s3.read_object"}]}',
            remit.Capability("s3.read_object"),
        ),
    ],
)
def test_each_form_comes_to_what_it_says(text: str, item: remit.Permission | remit.Capability) -> None:
    assert parse_allow(text) == item


@pytest.mark.parametrize("form", SHORT_FORMS, ids=" ".join)
def test_the_default_catalogue_takes_the_example_of_every_short_form(form: tuple[str, str]) -> None:
    verb, service = form

    item = parse_allow(f"{verb} {service}://{SHORT_FORMS[form].example}")

    assert isinstance(item, remit.Capability)
    assert expand(Capability(item.name, dict(item.parameters)), CATALOGUE, path="intent.capabilities[0]")


def test_a_whole_intent_is_read_from_json_and_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "intent.json"
    file.write_text(json.dumps([WHOLE]))

    intent = intent_of([f"@{file}", "read s3://reports/*"], files=True)

    condition = remit.Condition("StringLike", "s3:prefix", ["2026/*"])
    assert intent == remit.TaskIntent(
        "summarise Q3",
        (
            remit.Permission("s3:ListBucket", "arn:aws:s3:::reports", [condition]),
            remit.Permission("s3:GetObject", "arn:aws:s3:::reports/*"),
        ),
        (remit.Capability("s3.read_prefix", bucket="reports", prefix="2026/q3/"),),
        {"ticket": "OPS-7"},
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty; for example s3:GetObject="),
        ("s3:GetObject", "a permission says on what, after a '='; the form is ACTION"),
        ("GetObject=arn:aws:s3:::a/*", "an action is service:Name"),
        ("s3:GetObject=reports/*", "a resource is an ARN of six parts"),
        ("s3:GetObject=arn:aws:s3:::${aws:username}/*", "a policy variable"),
        ("s3:GetObject=arn:aws:s3:::a,*", "can be read in two ways"),
        ("s3:GetObject\n=arn:aws:s3:::a/*", "holds control characters"),
        ("read s3://reports/\u202ea", "holds control characters"),
        ("s3.read_prefix bucket=reports prefix=2026/*", "taken literally, so a wildcard"),
        ("s3.read_prefix bucket=reports prefix=2026/*", "give the prefix itself, ending with '/'"),
        ("s3.read_prefix bucket=rep* prefix=2026/", "give the one name that is meant"),
        ("s3.read_prefix bucket=reports bucket=other", "gives a parameter twice"),
        ("s3.read_prefix bucket", "each as name=value; the form is NAME PARAMETER=VALUE"),
        ('s3.read_prefix bucket="a"b', "each as name=value"),
        ("s3.read_prefix bucket= prefix=a/", "is 1 to 512 printable ASCII characters"),
        ("s3.read_prefix prefix=a/../b/", "as a path step"),
        ("Read s3://reports/a/*", "the nearest is read s3://BUCKET/KEY"),
        ("raed s3://reports/a/*", "the nearest is read s3://BUCKET/KEY"),
        ("query dynamodb://orders", "the nearest is read dynamodb://REGION/ACCOUNT/TABLE"),
        ("read gs://reports/a", "is no short form: the short forms are read s3://, list s3://,"),
        ("reports", "is neither a permission (ACTION[,ACTION]=RESOURCE"),
        ("read s3://reports/20*/q3/*", "takes * only as its end, after a '/'"),
        ("read s3://reports/2026*", "takes * only as its end, after a '/'"),
        ("read s3://*/2026/*", "begins with a bucket's name, literally"),
        ("read s3://reports/2026/", "names one object, or all below a prefix"),
        ("list s3://reports/2026", "is a bucket, or a prefix that ends with '/'"),
        ("delete s3://reports/*", "names one object, literally"),
        ("send sqs://jobs", "begins with a region and an account of twelve digits, literally"),
        (f"send sqs://{PLACE}/jobs-*", "is literal: no * and no ?"),
        (f"send sqs://{PLACE}/", "ends with a name"),
        (f"read ssm://{PLACE}/*", "names a parameter, or a path by '/*'"),
        ("@intent.json", "@FILE is for command lines"),
        ('{"Version": "2012-10-17", "Statement": []}', "IAM JSON is not accepted"),
        ('{"type": "remit_task"}', "at least one permission or capability is needed"),
        ('{"type": "payment", "permissions": []}', 'is "remit_task"'),
        ('{"type": "remit_task", "capabilites": []}', "the nearest is capabilities"),
        ('{"type": "remit_task", "type": "remit_task"}', "gives a member twice"),
        ('{"type": "remit_task", "purpose": NaN}', "a number that JSON does not have"),
        ('{"type": "remit_task"', "is no JSON"),
        ("[" * 60_000, "is no JSON"),
        ("[]", "exactly one object of the type remit_task"),
        (json.dumps(WHOLE), "read it with remit.intent_of"),
        (json.dumps({"type": "remit_task", "capabilities": [{"name": "a.b"}] * 2}), "asks for several things"),
        ("x" * 70_000, "is longer than 65536 characters"),
    ],
)
def test_a_mistake_is_told_with_the_rule_and_the_form(text: str, told: str) -> None:
    with pytest.raises(remit.InvalidRequest, match=re.escape(told)) as refused:
        parse_allow(text)

    assert refused.value.reason == "INVALID_REQUEST"
    assert refused.value.remedy is remit.Remedy.CORRECT


def test_of_several_texts_the_wrong_one_is_named() -> None:
    with pytest.raises(remit.InvalidRequest, match=r"^INVALID_REQUEST: allow\[1\]: "):
        parse_allows(["read s3://reports/*", "read reports"])


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["list s3://reports"] * 51, "at most 50 permissions and 20 capabilities"),
        (["read s3://reports/a/*"] * 21, "at most 50 permissions and 20 capabilities"),
        (["read s3://reports/a/*"] * 101, "at most 50 permissions and 20 capabilities"),
        ([json.dumps(WHOLE)] * 2, "says a purpose where an earlier one does"),
        ([json.dumps(WHOLE), json.dumps({**WHOLE, "purpose": None})], "is a string"),
    ],
)
def test_what_no_one_intent_can_hold_is_refused(texts: list[str], told: str) -> None:
    with pytest.raises(remit.InvalidRequest, match=re.escape(told)):
        intent_of(texts)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"read s3://reports/*", "the file holds no JSON of an intent"),
        (b"\xff\xfe{", "the file is not UTF-8 text"),
        (b"[" + b" " * 70_000, "the file is longer than 65536 bytes"),
        (None, "the file cannot be read: No such file"),
    ],
)
def test_a_file_that_holds_no_intent_is_refused(tmp_path: Path, content: bytes | None, told: str) -> None:
    file = tmp_path / "intent.json"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(remit.InvalidRequest, match=re.escape(told)):
        intent_of(f"@{file}", files=True)


def test_the_page_shows_every_short_form_and_intents_that_are_read() -> None:
    page = (Path(__file__).parents[2] / "docs" / "intents.md").read_text(encoding="utf-8")

    shown = {
        form for row in re.findall(r"^\| (.*?) \|", page, re.MULTILINE) for form in re.findall(r"`(\w+ \w+)://", row)
    }
    examples = [
        text
        for block in re.findall(r"^```text\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
        for text in block.splitlines()
    ]
    documents = re.findall(r"^```json\n(.*?)^```", page, re.DOTALL | re.MULTILINE)

    assert shown == {" ".join(form) for form in SHORT_FORMS}
    assert len(parse_allows(examples)) == len(examples) == 4
    assert [intent_of(document).labels for document in documents] == [{"ticket": "OPS-7"}]
