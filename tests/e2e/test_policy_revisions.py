"""A bad policy published, activated and gone back from, by the commands, at the real gateway; AWS obeys."""

import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.e2e.gateways import OwnGateway, client, own_gateway
from tests.e2e.test_revoked_at_aws import Holder, until
from tests.policy_bundles import DEFAULT_POLICIES
from typer.testing import CliRunner, Result

import remit
from remit_sandbox.sandbox import Sandbox
from remit_server.adapters.policy.bundles.bundle import read_bundle, stamp
from remit_server.cli.main import app

CATALOGUE = "remit/catalog/entitlements/data.yaml"
DEFAULT = read_bundle(DEFAULT_POLICIES).revision
SALARIES = remit.Permission(["s3:GetObject"], ["arn:aws:s3:::reports/hr/salaries.csv"])


class Author:
    """Somebody at a terminal who keeps policies, with a token in a file."""

    def __init__(self, sandbox: Sandbox, gateway: OwnGateway, folder: Path, token: str) -> None:
        self._sandbox, self._address = sandbox, gateway.bearer
        self._file = folder / "token"
        self._file.write_text(token)

    def run(self, *command: str, answer: str = "") -> Result:
        connection = ["--gateway", self._address, "--ca-file", str(self._sandbox.authority.bundle_path)]
        return CliRunner().invoke(app, ["policy", *command, *connection, "--token-file", str(self._file)], input=answer)

    def does(self, *command: str) -> str:
        """Returns what a command says that is expected to do its work."""
        result = self.run(*command)
        assert result.exit_code == 0, result.output
        return result.stdout


@pytest.fixture(scope="module")
def gateway(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnGateway]:
    with own_gateway(sandbox, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def bob(sandbox: Sandbox, gateway: OwnGateway, tmp_path: Path) -> Author:
    """Of the security team."""
    return Author(sandbox, gateway, tmp_path, sandbox.issuer.operator_token("bob"))


def edited(folder: Path, before: str, after: str) -> Path:
    """Returns a copy of the default policy with one change to its catalogue."""
    bundle = folder / "policies"
    shutil.copytree(DEFAULT_POLICIES, bundle)
    file = bundle / CATALOGUE
    text = file.read_text("utf-8")
    assert before in text
    file.write_text(text.replace(before, after, 1), "utf-8")
    stamp(bundle)
    return bundle


def test_a_bad_policy_is_published_activated_and_gone_back_from_with_all_that_it_issued(
    sandbox: Sandbox, gateway: OwnGateway, bob: Author, alice_token: str, tmp_path: Path
) -> None:
    bundle = edited(tmp_path, "arn:aws:s3:::reports/2026/*", "arn:aws:s3:::reports/*")
    bad = read_bundle(bundle).revision
    with client(sandbox, gateway.mtls) as agent:

        def ask() -> AbstractContextManager[remit.Task]:
            return agent.task("look around", subject_token=alice_token, allow=SALARIES)

        with pytest.raises(remit.Refused):
            ask().__enter__()
        published = bob.does("publish", "--bundle", str(bundle))
        with pytest.raises(remit.Refused):
            ask().__enter__()  # it decides nothing yet
        activated = bob.does("activate", bad[:8], "--why", "quicker reports")
        with ask() as task:
            thief = Holder(sandbox, task)
            decided_by = task.grant.policy_revision
            back = bob.does("rollback", "--why", "it lets too much", "--revoke-issued")
            with pytest.raises(remit.Refused) as refused:
                ask().__enter__()
            until(lambda: not thief.reads("hr/salaries.csv"))

    assert f"revision {bad} is published" in published
    assert f"revision {bad[:12]} decides since" in activated
    assert decided_by == bad
    assert f"revision {DEFAULT[:12]} decides since" in back
    assert "(rolled back)" in back
    assert f"1 live grant of {bad[:12]} ended, and it is blocked." in back
    assert refused.value.reason == "CEILING_EXCEEDED"
    shown = json.loads(bob.does("show", "--json"))
    assert shown["revision"]["revision"] == DEFAULT
    assert shown["activations"][0]["why"] == "it lets too much"
    again = bob.run("activate", bad, "--why", "once more")
    assert again.exit_code == 1
    assert "REVISION_REFUSED: this revision is blocked" in again.stderr


def test_what_was_published_is_listed_shown_and_fetched(bob: Author, tmp_path: Path) -> None:
    bundle = edited(tmp_path, "max_credential_seconds: 3600", "max_credential_seconds: 1800")
    revision = read_bundle(bundle).revision

    published = json.loads(bob.does("publish", "--bundle", str(bundle), "--json"))
    again = bob.does("publish", "--bundle", str(bundle))
    listed = [json.loads(line) for line in bob.does("list", "--json").splitlines()]
    table = bob.does("list").splitlines()
    shown = bob.does("show", revision[:9], "--files")
    archive, folder = tmp_path / "fetched.tar.gz", tmp_path / "fetched"
    folder.mkdir()
    bob.does("download", revision[:9], "-o", str(archive))
    bob.does("download", revision[:9], "-o", str(folder))
    from_archive = bob.does("publish", str(archive))

    assert (published["revision"]["revision"], published["created"]) == (revision, True)
    assert "was published before" in again
    assert "was published before" in from_archive
    assert listed[0]["revision"] == revision
    assert [one["revision"] for one in listed if one.get("active")] == [DEFAULT]
    assert sum(line.startswith("*") for line in table) == 1
    assert f"revision       {revision}" in shown
    assert "by sandbox:bob (operator)" in shown
    assert CATALOGUE in shown
    assert read_bundle(folder).revision == revision
    assert bob.run("download", revision, "-o", str(archive)).exit_code == 2


def test_a_bundle_that_may_not_decide_is_refused_with_every_finding(bob: Author, tmp_path: Path) -> None:
    bundle = edited(tmp_path, "max_task_seconds: 28800", "max_task_seconds: 28800")
    (bundle / "remit/lib/more.rego").write_text("package remit.lib.more\n\nx := http.send({})\n\ny := time.now_ns()\n")
    stamp(bundle)

    refused = bob.run("publish", "--bundle", str(bundle))

    assert refused.exit_code == 1
    assert "REVISION_REFUSED: this bundle may not decide:" in refused.stderr
    assert "remit/lib/more.rego:3: " in refused.stderr
    assert "remit/lib/more.rego:5: " in refused.stderr
    assert "what to do: mend what is named" in refused.stderr


def test_commands_say_what_is_wrong_with_what_was_asked(bob: Author) -> None:
    missing = bob.run("show", "00000000")
    odd = bob.run("show", "abc")
    nobody = CliRunner().invoke(app, ["policy", "list"])

    assert missing.exit_code == 1
    assert "NOT_FOUND: no revision that was published begins so" in missing.stderr
    assert odd.exit_code == 1
    assert "INVALID_REQUEST: revision" in odd.stderr
    assert nobody.exit_code == 2
    assert "--gateway HOST:PORT" in nobody.stderr


def test_whoever_has_no_right_publishes_and_activates_nothing(
    sandbox: Sandbox, gateway: OwnGateway, tmp_path: Path
) -> None:
    staff = Author(sandbox, gateway, tmp_path, sandbox.issuer.operator_token("mallory", groups=["staff"]))

    outcomes = [
        staff.run(*command)
        for command in (
            ("publish", "--bundle", str(DEFAULT_POLICIES)),
            ("activate", DEFAULT, "--why", "x"),
            ("rollback", "--why", "x"),
            ("list",),
            ("shadow", "start", DEFAULT),
        )
    ]

    assert [outcome.exit_code for outcome in outcomes] == [1] * 5
    assert all("NOT_AUTHORIZED: policy refuses this call" in outcome.stderr for outcome in outcomes)


def test_a_candidate_is_put_into_shadow_and_taken_out(bob: Author) -> None:
    started = bob.does("shadow", "start", DEFAULT[:8])
    shown = bob.does("shadow", "show")
    stopped = bob.does("shadow", "stop")
    again = bob.does("shadow", "stop")

    assert started == f"revision {DEFAULT[:12]} is in shadow.\n"
    assert shown.startswith(f"revision {DEFAULT[:12]} is in shadow since ")
    assert stopped == f"revision {DEFAULT[:12]} is in shadow no more.\n"
    assert again == "No revision was in shadow.\n"


def test_what_a_revision_would_decide_is_asked_of_the_gateway(bob: Author, sandbox: Sandbox, tmp_path: Path) -> None:
    claims, intent = tmp_path / "claims.json", tmp_path / "intent.json"
    alice: dict[str, object] = {
        "iss": sandbox.issuer.url,
        "sub": "alice",
        "groups": ["analysts"],
        "email": "alice@example.com",
    }
    alice["email_verified"] = True
    claims.write_text(json.dumps(alice))
    wish = {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::reports/2026/q3/*"]}
    intent.write_text(json.dumps({"purpose": "summarise Q3", "permissions": [wish]}))
    supposed = ("--claims", str(claims), "--agent", "copilot", "--intent", str(intent), "--format", "json")

    there = json.loads(bob.does("simulate", *supposed, "--revision", DEFAULT[:8]))
    here = CliRunner().invoke(app, ["policy", "simulate", *supposed, "--config", str(sandbox.config)])
    claims.write_text(json.dumps(alice | {"groups": []}))
    refused = bob.run("simulate", *supposed)

    own = json.loads(here.stdout)
    of_the_moment = {"input", "session_policy", "session_policy_text", "session_policy_digest", "cloudtrail"}
    of_the_moment |= {"expire_time", "task_end_time"}
    assert there["allowed"] is True
    assert there["entitlements"] == ["reports-reader"]
    assert there.keys() == own.keys()
    assert {name: there[name] for name in there.keys() - of_the_moment} == {
        name: own[name] for name in own.keys() - of_the_moment
    }
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["reason"] == "POLICY_DENIED"


def test_a_folder_is_compared_with_what_is_active(bob: Author, tmp_path: Path) -> None:
    bundle = edited(tmp_path, "arn:aws:s3:::reports/2026/*", "arn:aws:s3:::reports/2026/q3/*")

    equal = bob.does("diff", "active", DEFAULT[:8], "--format", "json")
    narrower = bob.does("diff", "active", str(bundle), "--format", "json", "--ci")
    nowhere = CliRunner().invoke(app, ["policy", "diff", "active", str(bundle)])

    assert json.loads(equal)["verdict"] == "equal"
    assert json.loads(narrower)["verdict"] == "narrowing"
    assert nowhere.exit_code == 2
