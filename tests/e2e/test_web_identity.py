"""The whole gateway as an issuer: real processes, real HTTPS, an STS that fetches its keys and verifies each token."""

import json
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jwt
import pytest
from tests.background_loop import Background
from tests.e2e.gateways import Q3, client, own_gateway
from tests.e2e.sts_relay import ceiling_of
from tests.fake_sts import FEDERATED, FakeRole, FakeSts
from tests.fake_sts_tokens import FakeProvider
from tests.opa_server import free_port
from tests.signing_key_files import fresh_key, put_key
from tests.sts_log import LOG
from tests.web_identity_world import DISCOVERY, KEY_SET, IssuerFolder

from remit_sandbox.sandbox import Sandbox
from remit_server.config.loading import load


@dataclass(frozen=True)
class Account:
    """An issuer that a gateway will be, and an STS that knows it as its account's provider."""

    issuer: IssuerFolder
    trust: ssl.SSLContext
    sts: FakeSts

    def published(self, path: str) -> bytes:
        """Returns a document as anybody fetches it."""
        with urllib.request.urlopen(self.issuer.url + path, timeout=60, context=self.trust) as answer:  # noqa: S310
            content: bytes = answer.read()
            return content

    def key_ids(self) -> list[str]:
        """Returns the ids of the keys by which STS was asked, in the order of the calls."""
        tokens = [request.form["WebIdentityToken"] for request in self.sts.requests]
        return [jwt.get_unverified_header(token)["kid"] for token in tokens]


@contextmanager
def account(sandbox: Sandbox, folder: Path) -> Iterator[Account]:
    roles = load(sandbox.config, {}).roles
    fakes = tuple(FakeRole(role.arn, trusts=FEDERATED, subject=role.web_identity_subject) for role in roles)
    for role in roles:
        ceiling = ceiling_of(role.arn)
        assert ceiling is not None
        LOG.configure(role.arn, ceiling)
    issuer = IssuerFolder.create(folder, fresh_key(), url=f"https://localhost:{free_port()}")
    trust = sandbox.authority.trust()
    background = Background()
    made: list[Account] = []
    sts = FakeSts(fakes, provider=FakeProvider(issuer.url, lambda: made[0].published(KEY_SET)))
    made.append(Account(issuer, trust, sts))
    background.run(sts.__aenter__())
    try:
        yield made[0]
    finally:
        background.run(sts.__aexit__(None, None, None))
        background.stop()


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_agents_get_credentials_through_tokens_that_sts_verifies_also_while_the_key_is_rotated(
    sandbox: Sandbox, alice_token: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    with account(sandbox, tmp_path) as at_aws:
        pair = sandbox.authority.issue_server(["localhost", "127.0.0.1", "http"])
        files = {"certificate_file": str(pair.certificate_path), "key_file": str(pair.key_path)}
        keys = {
            "signing_key_file": str(at_aws.issuer.active),
            "next_signing_key_file": str(at_aws.issuer.coming),
            "previous_signing_key_file": str(at_aws.issuer.previous),
        }
        more = {
            "listen.http": {"address": at_aws.issuer.url.replace("https://localhost", "127.0.0.1"), **files},
            "issuer": {"url": at_aws.issuer.url, **keys},
        }
        values = {"endpoint_url": at_aws.sts.url, "assumed_by": "web_identity"}
        coming = fresh_key()
        put_key(at_aws.issuer.coming, coming)
        with own_gateway(sandbox, tmp_path, values, more, options) as own, client(sandbox, own.mtls) as gateway:
            with gateway.task("summarise Q3", subject_token=alice_token, allow=Q3) as task:
                given = task.credentials()
            discovery = json.loads(at_aws.published(DISCOVERY))

            at_aws.issuer.previous.write_bytes(at_aws.issuer.active.read_bytes())
            at_aws.issuer.previous.chmod(0o600)
            at_aws.issuer.coming.replace(at_aws.issuer.active)
            while len(set(at_aws.key_ids())) == 1:
                with gateway.task("summarise Q3", subject_token=alice_token, allow=Q3) as task:
                    task.credentials()

    (first, *_) = at_aws.sts.issued
    assert given.access_key_id == first.access_key_id
    assert discovery["jwks_uri"] == at_aws.issuer.url + KEY_SET
    # This AWS has no role by which revocations are written: asking for it fails, and keeps nobody waiting.
    of_agents = [request for request in at_aws.sts.requests if not request.form["RoleArn"].endswith("/remit-revoker")]
    assert {request.outcome for request in of_agents} == {"issued"}
    assert at_aws.issuer.keys().active.key_id in at_aws.key_ids()  # each worker turns to it by itself
    assert "PRIVATE" not in own.log_path.read_text()
    tokens = {request.form["WebIdentityToken"] for request in at_aws.sts.requests}
    assert not [token for token in tokens if token in own.log_path.read_text()]
