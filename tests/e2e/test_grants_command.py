"""`remit-server grants` against the real gateway, over TLS, with real tokens and certificates."""

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.gateways import Q3, client
from tests.e2e.watched import BIN, PATIENCE, plain_environment
from tests.e2e.watched_grants import first_grant_of, first_records
from typer.testing import CliRunner, Result

import remit
from remit_sandbox.certificates import Authority, KeyPair
from remit_sandbox.sandbox import Sandbox
from remit_server.cli.main import app


class Operator:
    """Somebody at a terminal, with a token in a file."""

    def __init__(self, sandbox: Sandbox, folder: Path, token: str, address: str = "") -> None:
        self._sandbox = sandbox
        self._file = folder / "token"
        self._file.write_text(token + "\n")
        self._address = address or sandbox.bearer

    def run(self, *command: str, answer: str = "") -> Result:
        connection = ["--gateway", self._address, "--ca-file", str(self._sandbox.authority.bundle_path)]
        proof = ["--token-file", str(self._file)]
        return CliRunner().invoke(app, ["grants", *command, *connection, *proof], input=answer)


@pytest.fixture
def bob(sandbox: Sandbox, tmp_path: Path) -> Operator:
    """Of the security team."""
    return Operator(sandbox, tmp_path, sandbox.issuer.operator_token("bob"))


@pytest.fixture
def task(sandbox: Sandbox, alice_token: str) -> Iterator[remit.Task]:
    """The copilot at work for alice."""
    with (
        client(sandbox, sandbox.mtls) as gateway,
        gateway.task("summarise Q3", subject_token=alice_token, allow=Q3) as running,
    ):
        yield running


def name_of(task: remit.Task) -> str:
    return task.grant.name


def test_what_an_agent_holds_is_listed_for_people_and_for_programs(bob: Operator, task: remit.Task) -> None:
    table = bob.run("list", "--user", "alice", "--state", "ISSUED")
    lines = bob.run("list", "--filter", f"task_id = {task.grant.task_id}", "--json")

    assert table.exit_code == 0, table.output
    row = next(line for line in table.stdout.splitlines() if name_of(task) in line)
    assert row.startswith("ISSUED")
    assert "remit-reports" in row
    (grant,) = [json.loads(line) for line in lines.stdout.splitlines()]
    assert (grant["name"], grant["subject"]["id"], grant["state"]) == (name_of(task), "alice", "GRANT_STATE_ISSUED")


def test_a_key_that_was_found_leads_to_its_grant(bob: Operator, task: remit.Task) -> None:
    key = task.credentials().access_key_id

    found = bob.run("list", "--access-key", key, "--json")

    assert [json.loads(line)["name"] for line in found.stdout.splitlines()] == [name_of(task)]


def test_a_grant_is_shown_in_words(bob: Operator, task: remit.Task) -> None:
    shown = bob.run("show", name_of(task))

    assert shown.exit_code == 0, shown.output
    for said in ("alice of https://127.0.0.1", "summarise Q3", "reports-reader", "may do", '"Action"'):
        assert said in shown.stdout


def test_a_revoke_is_asked_about_with_the_number_of_grants(bob: Operator, task: remit.Task) -> None:
    no = bob.run("revoke", "--task", task.grant.task_id, "--why", "stolen laptop", answer="n\n")
    yes = bob.run("revoke", "--task", task.grant.task_id, "--why", "stolen laptop", answer="y\n")

    assert no.exit_code == 1
    assert "End 1 live grant?" in no.output
    assert "Nothing was ended." in no.output
    assert yes.exit_code == 0, yes.output
    assert "1 grant is ended" in yes.output
    assert name_of(task) in yes.output
    assert json.loads(bob.run("show", name_of(task), "--json").stdout)["revoke_cause"] == "REVOKE_CAUSE_REQUESTED"


def test_a_revoke_that_matches_nothing_says_so(bob: Operator) -> None:
    nothing = bob.run("revoke", "--actor", "sandbox:nobody", "--why", "tidy up", "--yes")
    missing = bob.run("revoke", f"tasks/{'a' * 26}/grants/{'b' * 26}", "--why", "tidy up", "--yes")

    assert nothing.exit_code == 1
    assert "NOTHING WAS ENDED: no live grant is of agent sandbox:nobody." in nothing.stderr
    assert missing.exit_code == 1
    assert "NOT_FOUND: there is no such grant among those that you may see" in missing.stderr


def test_a_misspelled_user_is_told_with_who_was_meant_and_is_no_success(
    bob: Operator, sandbox: Sandbox, task: remit.Task
) -> None:
    assert task.grant.subject.id == "alice"
    whom = ["--user", "alise", "--issuer", sandbox.issuer.url]

    revoked = bob.run("revoke", *whom, "--why", "left the company", "--yes")
    blocked = bob.run("revoke", *whom, "--why", "left the company", "--yes", "--block")
    listed = bob.run("list", *whom)
    known = bob.run("list", "--user", "alice", "--state", "REVOKING")

    stranger = "that you may see is of user alise. Did you mean alice?"
    assert (revoked.exit_code, blocked.exit_code, listed.exit_code) == (1, 0, 0)
    assert f"NOTHING WAS ENDED: no live grant is of user alise of {sandbox.issuer.url}." in revoked.stderr
    assert "user alise of" in blocked.stdout
    assert "is blocked from now on" in blocked.stdout
    assert all(stranger in one.stderr for one in (revoked, blocked, listed))
    assert "Did you mean" not in known.stderr
    name = next(line.split()[-1] for line in bob.run("blocks").stdout.splitlines() if "alise" in line)
    assert bob.run("unblock", name, "--why", "misspelled").exit_code == 0


def test_nobody_is_told_of_names_that_they_may_not_see(sandbox: Sandbox, task: remit.Task, tmp_path: Path) -> None:
    assert task.grant.subject.id == "alice"
    carol = Operator(sandbox, tmp_path, sandbox.issuer.operator_token("carol", groups=["staff"]))

    listed = carol.run("list", "--user", "alise")

    assert listed.exit_code == 0
    assert "that you may see is of user alise. Check it letter by letter." in listed.stderr
    assert "alice" not in listed.output


def test_what_the_configuration_calls_an_agent_leads_to_its_name_in_grants(bob: Operator, task: remit.Task) -> None:
    assert task.grant.subject.id == "alice"

    listed = bob.run("list", "--actor", "copilot")

    assert "is of agent copilot. Did you mean spiffe://remit.sandbox/agent/copilot?" in listed.stderr


def test_a_name_that_nobody_can_have_is_neither_revoked_nor_blocked(bob: Operator, sandbox: Sandbox) -> None:
    agent = bob.run("revoke", "--actor", "copilot", "--block", "--why", "stolen", "--yes")
    issuer = bob.run("revoke", "--user", "alice", "--issuer", "https://nope", "--block", "--why", "stolen", "--yes")

    assert (agent.exit_code, issuer.exit_code) == (1, 1)
    assert "did you mean spiffe://remit.sandbox/agent/copilot?" in agent.stderr
    assert f"no [[issuers]] entry has it; there are {sandbox.issuer.url}" in issuer.stderr
    assert "Nobody is blocked." in bob.run("blocks").stderr


def test_a_block_stands_until_it_is_lifted(bob: Operator, sandbox: Sandbox) -> None:
    user = ["--user", "mallory", "--issuer", sandbox.issuer.url]
    blocked = bob.run("revoke", *user, "--block", "--why", "left the company", "--yes")
    table = bob.run("blocks")
    name = next(line.split()[-1] for line in table.stdout.splitlines() if "mallory" in line)
    lifted = bob.run("unblock", name.removeprefix("blocks/"), "--why", "came back")

    assert blocked.exit_code == 0, blocked.output
    assert "left the company" in table.stdout
    assert "sandbox:bob" in table.stdout
    assert lifted.exit_code == 0, lifted.output
    assert "mallory" not in bob.run("blocks").stdout


def test_a_filter_that_cannot_be_read_names_the_place(bob: Operator) -> None:
    wrong = bob.run("list", "--filter", "state = LIVE")

    assert wrong.exit_code == 1
    assert "INVALID_REQUEST: filter: character 9: expected a state of" in wrong.stderr
    assert "what to do: correct what is named" in wrong.stderr


def test_a_state_that_there_is_not_is_told_with_those_there_are(bob: Operator) -> None:
    wrong = bob.run("list", "--state", "ISUED")

    assert wrong.exit_code == 2
    assert "--state: there is no state ISUED; there are" in wrong.stderr
    assert "ISSUED, " in wrong.stderr


def test_grants_are_watched(sandbox: Sandbox, alice_token: str) -> None:
    seen: list[str] = []
    watching = threading.Thread(
        target=lambda: seen.append(first_grant_of(sandbox, sandbox.issuer.operator_token("bob")))
    )
    watching.start()
    names = []
    while watching.is_alive():
        with (
            client(sandbox, sandbox.mtls) as gateway,
            gateway.task("summarise Q3", subject_token=alice_token, allow=Q3) as task,
        ):
            names.append(task.grant.name)
        watching.join(0.2)

    assert seen[0] in names


def test_records_are_followed_from_the_first_on(sandbox: Sandbox, task: remit.Task) -> None:
    assert task.grant.name

    assert first_records(sandbox, sandbox.issuer.operator_token("bob"), 4) == [1, 2, 3, 4]


def test_the_staff_sees_its_own_and_nothing_else(sandbox: Sandbox, task: remit.Task, tmp_path: Path) -> None:
    alice = Operator(sandbox, tmp_path, sandbox.issuer.operator_token("alice", groups=["staff"]))
    bobs = alice.run("list", "--user", "bob", "--json")
    own = alice.run("list", "--filter", f"task_id = {task.grant.task_id}", "--json")
    ended = alice.run("revoke", name_of(task), "--why", "no longer needed", "--yes")
    audit = alice.run("blocks")

    assert bobs.stdout == ""
    assert [json.loads(line)["name"] for line in own.stdout.splitlines()] == [name_of(task)]
    assert ended.exit_code == 0, ended.output
    assert audit.exit_code == 1
    assert "NOT_AUTHORIZED" in audit.stderr


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (lambda sandbox: sandbox.issuer.token("bob", client_id="copilot"), "made for another audience"),
        (lambda sandbox: sandbox.issuer.agent_token("reporter"), "made for another audience"),
        (lambda sandbox: sandbox.issuer.agent_token("reporter", audience="remit-operators"), "is an agent's"),
        (lambda sandbox: sandbox.issuer.operator_token("bob", client_id="copilot"), "is an agent's"),
        (lambda sandbox: sandbox.issuer.operator_token("bob", audience=["remit", "remit-operators"]), "`aud`"),
        (lambda sandbox: sandbox.issuer.operator_token("bob", groups=["analysts"]), "No right in the policy catalogue"),
        (
            lambda sandbox: sandbox.issuer.operator_token("bob", iss="https://elsewhere.test"),
            "not one that this gateway",
        ),
        (lambda _: "nonsense", "not authenticated"),
    ],
    ids=["agents-audience", "agent", "agent-elsewhere", "agents-client", "both", "no-group", "issuer", "nonsense"],
)
def test_whoever_is_no_operator_is_refused(sandbox: Sandbox, tmp_path: Path, token: "type[str]", said: str) -> None:
    nobody = Operator(sandbox, tmp_path, token(sandbox)).run("list")

    assert nobody.exit_code == 1
    assert said in nobody.stderr
    assert "what to do:" in nobody.stderr


def test_an_agents_certificate_opens_nothing(sandbox: Sandbox) -> None:
    pair: KeyPair = sandbox.agents["copilot"]
    outcome = CliRunner().invoke(
        app,
        [
            *("grants", "list", "--gateway", sandbox.mtls, "--ca-file", str(sandbox.authority.bundle_path)),
            *("--certificate", str(pair.certificate_path), "--key", str(pair.key_path)),
        ],
    )

    assert outcome.exit_code == 1
    assert "NOT_AUTHORIZED" in outcome.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--gateway", "127.0.0.1:1", "--token-file", "TOKEN"], "cannot be reached: nothing listens at port 1 there"),
        (["--gateway", "https://g.example:8443", "--token-file", "TOKEN"], "is HOST:PORT, such as"),
        (["--gateway", "g.example", "--token-file", "TOKEN"], "never without the port"),
        (
            ["--gateway", "g.example:1", "--token-file", "TOKEN", "--ca-file", "MISSING"],
            "MISSING cannot be read: No such",
        ),
        (["--gateway", "g.example:1", "--certificate", "MISSING", "--key", "TOKEN"], "--certificate "),
        (["--gateway", "g.example:1", "--certificate", "TOKEN", "--key", "TOKEN"], "holds no certificate in PEM"),
        (["--gateway", "127.0.0.1:1"], "Nothing says who you are"),
        (["--gateway", "127.0.0.1:1", "--token-file", "EMPTY"], "holds no token"),
        (["--gateway", "127.0.0.1:1", "--token-file", "MISSING"], "cannot be read as a token"),
        (["--gateway", "127.0.0.1:1", "--certificate", "TOKEN"], "belong together"),
        (["--gateway", "127.0.0.1:1", "--token-file", "TOKEN", "--ca-file", "TOKEN"], "is not what it must be in PEM"),
        (
            ["--gateway", "g.example:1", "--token-file", "TOKEN", "--ca-file", "VOID"],
            "VOID is not what it must be in PEM",
        ),
        (["--gateway", "g.example:1", "--token-file", "TOKEN", "--ca-file", "BINARY"], "BINARY is not what it must"),
        (["--gateway", "g.example:1", "--certificate", "VOID", "--key", "VOID"], "holds no certificate in PEM"),
    ],
)
def test_what_keeps_a_command_from_calling_is_told(tmp_path: Path, options: list[str], said: str) -> None:
    (tmp_path / "TOKEN").write_text("x.y.z")
    (tmp_path / "EMPTY").write_text("\n")
    (tmp_path / "VOID").write_bytes(b"")
    (tmp_path / "BINARY").write_bytes(b"\xff\xfe\xfd")
    given = [str(tmp_path / one) if one.isupper() else one for one in options]

    outcome = CliRunner().invoke(app, ["grants", "list", *given], env={"REMIT_OPERATOR_TOKEN": ""})

    assert outcome.exit_code == 2
    assert said in outcome.stderr


def test_a_gateway_that_is_not_trusted_is_told_in_our_words_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    roots = Authority.create(tmp_path / "theirs").bundle_path
    environment = {**plain_environment(), "REMIT_OPERATOR_TOKEN": "x.y.z", "REMIT_CA_FILE": str(roots)}

    done = subprocess.run(  # noqa: S603 - the command itself
        [str(BIN / "remit-server"), "grants", "list", "--gateway", sandbox.bearer],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=PATIENCE,
    )

    said, todo = done.stderr.splitlines()
    assert done.returncode == 2
    assert f"cannot be reached: --ca-file {roots} does not vouch for its certificate (" in said
    assert (
        todo
        == "what to do: give the authority (PEM) that signed the gateway's certificate as --ca-file (or REMIT_CA_FILE)"
    )
