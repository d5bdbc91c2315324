"""What the commands of published revisions do by themselves: hold what they are sent to its digest, and ask first."""

import sys
from collections.abc import Iterator

import pytest
import typer
from tests.transport.policy_server import archive

from remit.v1 import policy_service_pb2 as messages
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.cli.finding_words import told_finding
from remit_server.cli.policy import activate
from remit_server.cli.policy.naming.received import received_files
from remit_server.domain.secret import Secret
from remit_server.transport.grpc.operator_client import Connection, OperatorClient
from remit_server.transport.grpc.policy import calls

A, B = "a" * 64, "b" * 64


class Terminal:
    """Says that somebody is there to be asked, which no runner of tests can say."""

    def isatty(self) -> bool:
        return True


class ScriptedDesk:
    """Shows A as what is active, with so many live grants: the counting of real grants is a matter of GrantService."""

    def __init__(self, live: int | None) -> None:
        self.live = live

    def shown(self, revision: str) -> messages.GetRevisionResponse:
        assert revision == ""
        return messages.GetRevisionResponse(revision=messages.PolicyRevision(revision=A, active=True))

    def live_grants(self, revision: str, at_most: int) -> int | None:
        assert revision == A
        return self.live if self.live is None else min(self.live, at_most)


@pytest.mark.parametrize(
    ("live", "asked"),
    [
        (0, "End 0 live grants of revision aaaaaaaaaaaa and block it?"),
        (1, "End 1 live grant of revision aaaaaaaaaaaa and block it?"),
        (5000, "End more than 1000 live grants of revision aaaaaaaaaaaa and block it?"),
        (None, "End grants that you may not list of revision aaaaaaaaaaaa and block it?"),
    ],
)
def test_at_a_terminal_it_is_asked_how_many_grants_shall_be_ended(
    monkeypatch: pytest.MonkeyPatch, live: int | None, asked: str
) -> None:
    questions: list[str] = []

    def answered(question: str, **_: object) -> bool:
        questions.append(question)
        return live is not None

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(typer, "confirm", answered)

    if live is None:
        with pytest.raises(typer.Exit):
            activate._confirm(ScriptedDesk(live), "")  # type: ignore[arg-type] # the two things that it is asked
    else:
        # What was asked about is what will be ended, and not what somebody activates meanwhile.
        assert activate._confirm(ScriptedDesk(live), "") == A  # type: ignore[arg-type] # likewise
    assert questions == [asked]


@pytest.mark.parametrize(
    ("live", "told"),
    [
        (0, ""),
        (1, "1 live grant of aaaaaaaaaaaa: not ended"),
        (5000, "more than 1000 live grants of aaaaaaaaaaaa: not ended"),
        (None, "what is live of aaaaaaaaaaaa: not ended"),
    ],
)
def test_what_the_revision_before_issued_is_told_with_the_command_that_ends_it(
    capsys: pytest.CaptureFixture[str], live: int | None, told: str
) -> None:
    done = messages.ActivateRevisionResponse(
        activation=messages.PolicyActivation(revision=B, kind=messages.ACTIVATION_KIND_ROLLED_BACK),
        previous_revision=A,
    )

    activate._tell_left(ScriptedDesk(live), done, revoke_issued=False)  # type: ignore[arg-type] # likewise

    command = f"remit-server grants revoke --revision {A} --block --why '...'"
    written = capsys.readouterr().err
    assert (told in written, command in written) == (True, live != 0)
    assert bool(written) == (live != 0)


def test_another_bundle_than_was_asked_for_is_not_taken() -> None:
    with pytest.raises(BundleRefused, match="what was sent as revision bbbbbbbbbbbb is "):
        received_files(B, archive())


def test_a_gateway_that_never_ends_a_bundle_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(*_: object) -> Iterator[messages.DownloadRevisionResponse]:
        while True:
            yield messages.DownloadRevisionResponse(chunk=bytes(1 << 20), revision=A)

    monkeypatch.setattr(OperatorClient, "stream", endless)
    with (
        OperatorClient(Connection("127.0.0.1:1", token=lambda: Secret("x"))) as client,
        pytest.raises(ValueError, match="which no bundle has"),
    ):
        calls.download(client, "")


def test_a_finding_cannot_steer_a_terminal() -> None:
    finding = messages.PolicyFinding(path="remit/\x1b[2J.rego", line=3, problem="\x1b]0;x\x07", mend="\r\nOK")

    told = told_finding(finding)

    assert told.isprintable()
    assert told.startswith("remit/\\u001b[2J.rego:3: ")
