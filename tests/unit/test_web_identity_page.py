"""docs/web-identity.md says what the code does: the configuration loads, and the trust policy takes our tokens."""

import fnmatch
import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder
from tests.sts_orders import a_role

from remit_server.adapters.aws import web_identity_failures
from remit_server.adapters.aws.web_identity_failures import web_identity_refused
from remit_server.adapters.aws.web_identity_token import AUDIENCE
from remit_server.config.loading import load
from remit_server.domain.entitlement import Role

PAGE = (Path(__file__).parents[2] / "docs/web-identity.md").read_text(encoding="utf-8")
(TRUST,) = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
(STATEMENT,) = TRUST["Statement"]


@pytest.fixture
def role() -> Role:
    return a_role(arn="arn:aws:iam::111122223333:role/remit-data")


def test_the_configuration_on_the_page_loads(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    without_the_role = TEXT[: TEXT.rindex("[[roles]]")] + TEXT[TEXT.index("[policy]") :]

    settings = load(ConfigurationFolder.create(tmp_path).write(without_the_role + block.replace("\n   ", "\n")), {})

    assert settings.own_issuer is not None
    assert settings.own_issuer.url == "https://remit.acme.example"


def test_the_trust_policy_pins_what_the_token_says(role: Role) -> None:
    pinned = STATEMENT["Condition"]["StringEquals"]

    assert pinned == {"remit.acme.example:aud": AUDIENCE, "remit.acme.example:sub": role.web_identity_subject}
    assert STATEMENT["Principal"] == {"Federated": f"arn:aws:iam::{role.account}:oidc-provider/remit.acme.example"}


@pytest.mark.parametrize(
    ("key", "value", "fits"),
    [
        ("aws:RequestTag/remit:grant", "subject.task.grant", True),
        ("aws:RequestTag/remit:grant", "..", False),
        ("aws:RequestTag/remit:by", "actor.revision", True),
        ("aws:RequestTag/remit:by", "actor", False),
        ("sts:SourceIdentity", "acme.alice=40example.com", True),
        ("sts:SourceIdentity", "alice", False),
    ],
)
def test_the_trust_policy_wants_the_tags_and_the_source_identity_in_their_form(
    key: str, value: str, *, fits: bool
) -> None:
    pattern: Any = STATEMENT["Condition"]["StringLike"][key]

    assert fnmatch.fnmatchcase(value, pattern) is fits


def test_the_trust_policy_and_the_words_for_its_refusal_name_the_same_actions() -> None:
    said = web_identity_refused(403, "AccessDenied").message

    assert len(STATEMENT["Action"]) == 3
    assert [action for action in STATEMENT["Action"] if action not in said] == []


def test_every_code_that_has_words_of_its_own_is_told_on_the_page() -> None:
    codes = set(web_identity_failures._MESSAGES) - {"ValidationError"} | {"IDPCommunicationError"}

    assert [code for code in codes if code not in PAGE] == []
