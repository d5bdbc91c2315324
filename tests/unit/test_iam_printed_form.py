"""Texts in the form in which documents are printed are read statement by statement; they mean what any reader reads."""

import json

import pytest

from remit_server.iam.language.document import Document
from remit_server.iam.language.statement import MalformedPolicy

ALLOW = '{"Action":"s3:GetObject","Effect":"Allow","Resource":"arn:aws:s3:::reports/*"}'
LIST = '{"Action":"s3:ListBucket","Condition":{"StringLike":{"s3:prefix":"2026/*"}},"Effect":"Allow","Resource":"*"}'
DENY = '{"Effect":"Deny","NotAction":["s3:GetObject","s3:ListBucket"],"Resource":"*"}'
VARIABLE = '{"Action":"s3:GetObject","Effect":"Allow","Resource":"arn:aws:s3:::home/${aws:username}/*"}'
LIKE = '{"Action":"s3:ListBucket","Condition":{"StringLike":{"s3:prefix":%s}},"Effect":"Allow","Resource":"*"}'


def printed(*statements: str) -> str:
    return f'{{"Statement":[{",".join(statements)}],"Version":"2012-10-17"}}'


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(printed(ALLOW), id="one statement"),
        pytest.param(printed(ALLOW, LIST, DENY), id="several"),
        pytest.param(printed(ALLOW, ALLOW), id="one twice"),
        pytest.param(printed(ALLOW, LIKE % '"},{"', DENY), id="a value that looks like an end and a beginning"),
        pytest.param(printed(LIKE % '["},{","a"]', LIKE % '["b","},{"]'), id="several such values"),
        pytest.param(printed(LIKE % r'"},{\"Action\":\"*\"},{"'), id="a value with a quoted statement"),
        pytest.param(printed(ALLOW.replace("reports/*", "},{")), id="a resource that ends so"),
        pytest.param(printed(LIKE % '"}],\\"Version\\":\\"2012-10-17\\"}"'), id="a value with the end of a policy"),
        pytest.param(printed(ALLOW, '{ "Sid":"x", "Resource":"*", "Effect":"Deny", "Action":"*" }'), id="other order"),
    ],
)
def test_it_reads_what_a_plain_json_reader_reads(text: str) -> None:
    read = Document.parse(text)

    assert read == Document.parse(json.loads(text))
    assert read == Document.parse(text.encode())


@pytest.mark.parametrize(
    ("text", "path"),
    [
        pytest.param(printed(ALLOW, DENY.replace("Deny", "No")), "$.Statement[1].Effect", id="the second effect"),
        pytest.param(printed(ALLOW, '{"Action":"*"}'), "$.Statement[1].Effect", id="no effect"),
        pytest.param(printed(ALLOW, ALLOW[:-1] + ',"Effect":"Deny"}'), "$", id="a name twice in a statement"),
        pytest.param(printed(ALLOW, "{}"), "$.Statement[1].Effect", id="an empty statement"),
        pytest.param(printed(ALLOW, ALLOW[:-1]), "$", id="a statement that does not end"),
        pytest.param(printed(ALLOW, ALLOW + "}"), "$", id="one bracket more"),
        pytest.param(printed(ALLOW + "],[" + DENY), "$", id="two lists"),
        pytest.param(printed(ALLOW + '],"Statement":[' + DENY), "$", id="two lists of one name"),
        pytest.param(printed(ALLOW + '],"Id":"x","Statement":[' + DENY), "$", id="something between two lists"),
        pytest.param(printed(ALLOW) + " {}", "$", id="something after it"),
        pytest.param(printed(f"[{ALLOW}]"), "$.Statement[0]", id="a list in the list"),
        pytest.param(printed(f'{ALLOW},"{DENY[1:]}'), "$", id="a quote in place of a bracket"),
    ],
)
def test_what_breaks_a_rule_is_refused_at_its_place(text: str, path: str) -> None:
    with pytest.raises(MalformedPolicy) as raised:
        Document.parse(text)

    assert raised.value.path == path


def test_a_variable_read_once_as_authored_stays_refused_to_anybody_else() -> None:
    Document.parse(printed(VARIABLE), authored=True)

    with pytest.raises(MalformedPolicy):
        Document.parse(printed(VARIABLE))


def test_statements_read_again_keep_the_spelling_of_their_text() -> None:
    shouted = ALLOW.replace("s3:GetObject", "S3:GETOBJECT")

    texts = [Document.parse(printed(each)).text for each in (ALLOW, shouted, ALLOW)]

    assert texts == [printed(ALLOW), printed(shouted), printed(ALLOW)]
