"""What `remit-sandbox up` prints works when it is pasted into another terminal, also below a folder with a space."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.watched import BIN, Ended, Watched, plain_environment, watched

from remit_sandbox.guide import LAST_LINE

READ = """\
import boto3, sys
print(boto3.client("s3").get_object(Bucket="reports", Key=sys.argv[1])["Body"].read().decode())
"""


@dataclass(frozen=True, slots=True)
class Guide:
    """The lines to paste, by chapter, and the program that printed them."""

    chapters: dict[str, list[str]]
    program: Watched
    elsewhere: Path

    def lines(self, number: int) -> list[str]:
        """Returns the lines of a chapter."""
        (found,) = (lines for title, lines in self.chapters.items() if title.startswith(f"{number}. "))
        return found

    def pasted(self, *lines: str) -> subprocess.CompletedProcess[str]:
        """Runs the lines as another terminal would, in a folder that has nothing to do with the sandbox's."""
        return subprocess.run(  # noqa: S603 - the very lines that a person is told to paste
            ["/bin/bash", "-c", "\n".join(lines)],
            cwd=self.elsewhere,
            env=plain_environment({"AWS_EC2_METADATA_DISABLED": "true"}),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )


@pytest.fixture(scope="module")
def guide(_ministack: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guide]:
    """A sandbox left running by the program itself."""
    report, elsewhere = tmp_path_factory.mktemp("report"), tmp_path_factory.mktemp("elsewhere")
    folder = tmp_path_factory.mktemp("a folder") / "left running"
    with watched(str(BIN / "remit-sandbox"), "up", "--folder", str(folder), folder=report) as program:
        printed = program.lines_until(LAST_LINE)
        assert printed[-1] == LAST_LINE, "\n".join(printed)
        yield Guide(_chapters(printed), program, elsewhere)
        if program.process.poll() is None:
            program.interrupt()
            program.ended()


def _chapters(printed: list[str]) -> dict[str, list[str]]:
    """Returns the indented lines below each title."""
    chapters: dict[str, list[str]] = {}
    for line in printed:
        if line[:1].isdigit():
            chapters[line] = []
        elif line.startswith("  ") and chapters:
            chapters[next(reversed(chapters))].append(line.strip())
    return chapters


def test_the_token_line_keeps_a_token_in_the_shell(guide: Guide) -> None:
    done = guide.pasted(*guide.lines(1), 'echo "$TOKEN"')

    assert done.stderr == ""
    assert len(done.stdout.strip().split(".")) == 3


def test_the_credentials_line_puts_working_credentials_into_the_environment(guide: Guide) -> None:
    credentials, *_ = guide.lines(2)
    (guide.elsewhere / "read.py").write_text(READ)
    read = f"{sys.executable} read.py"

    done = guide.pasted(*guide.lines(1), credentials, f"{read} 2026/q3/summary.md", f"{read} 2026/q2/summary.md")

    assert "Revenue 857" in done.stdout
    assert "AccessDenied" in done.stderr
    assert done.returncode != 0


def test_the_aws_lines_work(guide: Guide) -> None:
    """Where there is no aws executable, boto3 stands in for it, on the same lines and the same environment."""
    credentials, allowed, refused = guide.lines(2)
    (guide.elsewhere / "read.py").write_text(READ)
    there = guide.pasted("aws --version").returncode == 0
    stand_in = 'aws() { %s read.py "${3#s3://reports/}"; }' % sys.executable  # noqa: UP031 - braces

    done = guide.pasted(*([] if there else [stand_in]), *guide.lines(1), credentials, allowed, refused)

    assert "Revenue 857" in done.stdout
    assert "403" in done.stderr or "AccessDenied" in done.stderr
    assert done.returncode != 0


def test_a_token_that_does_not_fit_is_answered_with_the_gateways_sentence(guide: Guide) -> None:
    credentials, *_ = guide.lines(2)

    done = guide.pasted("TOKEN=not-a-token", credentials, 'echo "key: $AWS_ACCESS_KEY_ID"')

    assert done.stdout == "key: \n"
    assert done.stderr.startswith("SUBJECT_TOKEN_REJECTED: ")
    assert "Traceback" not in done.stderr


def test_the_preview_line_shows_what_would_be_issued(guide: Guide) -> None:
    done = guide.pasted(*guide.lines(1), *guide.lines(3))

    assert done.returncode == 0, done.stderr
    assert '"wouldIssue"' in done.stdout
    assert "arn:aws:s3:::reports/2026/q3/*" in done.stdout


def test_the_audit_lines_list_explain_and_verify_what_happened(guide: Guide) -> None:
    done = guide.pasted("set -e", *guide.lines(1), *guide.lines(2)[:1], *guide.lines(3), *guide.lines(4))

    assert done.returncode == 0, done.stderr
    assert "preview_decided" in done.stdout
    assert "for          alice of " in done.stdout
    assert "grant_authorized: decided again under revision" in done.stdout
    assert "the same, byte for byte" in done.stdout
    assert "The chain is intact" in done.stdout


def test_an_agent_does_what_bob_has_approved(guide: Guide) -> None:
    done = guide.pasted(*guide.lines(1), *guide.lines(6))

    assert done.returncode == 0, done.stderr
    assert "s3:PutObject" in done.stdout
    assert "is APPROVED." in done.stdout
    assert "published, as approved by approvals/" in done.stdout


def test_an_agent_acts_at_once_in_an_emergency_and_bob_reviews_it(guide: Guide) -> None:
    done = guide.pasted("set -e", *guide.lines(1), *guide.lines(7))

    assert done.returncode == 0, done.stderr
    assert "s3:PutObject" in done.stdout
    assert "is APPROVED." in done.stdout


def test_bob_changes_the_policy_and_takes_it_back(guide: Guide) -> None:
    done = guide.pasted(*guide.lines(1), *guide.lines(8))

    told = done.stdout + done.stderr
    assert "verdict: widening" in done.stdout, told
    assert "is published; it decides nothing yet" in done.stdout, told
    assert "(rolled back)" in done.stdout, told
    assert done.stdout.count("ISSUED s3:GetObject on arn:aws:s3:::reports/hr/salaries.csv") == 1, told
    assert done.stderr.count("CEILING_EXCEEDED") == 2, told


def test_any_program_runs_by_the_remit_command_in_the_same_terminal_as_bob(guide: Guide) -> None:
    unset, settings, _, whoami, allowed, refused, *_ = guide.lines(9)
    (guide.elsewhere / "read.py").write_text(READ)
    prefix = "aws s3 cp s3://reports/"
    read = [line.split("#")[0].replace(prefix, f"{sys.executable} read.py ") for line in (allowed, refused)]
    signed_in = 'export REMIT_SUBJECT_TOKEN="$TOKEN"'  # what `remit login` needs a person for

    done = guide.pasted(*guide.lines(1), *guide.lines(5)[:1], unset, settings, signed_in, whoami, *read)

    assert "alice at " in done.stdout
    assert "Revenue 857" in done.stdout
    assert "AccessDenied" in done.stderr
    assert done.returncode != 0


def test_the_refusal_is_explained_by_the_line_after_it(guide: Guide) -> None:
    *_, refused, explain, _ = guide.lines(9)

    done = guide.pasted(*guide.lines(1), *guide.lines(9)[:2], 'export REMIT_SUBJECT_TOKEN="$TOKEN"', refused, explain)

    assert "CEILING_EXCEEDED: " in done.stderr
    assert "more was asked for than may be issued" in done.stdout
    assert done.returncode == 0


def test_alice_who_was_revoked_signs_in_again_and_goes_on(guide: Guide) -> None:
    task = (*guide.lines(1), *guide.lines(2)[:1])

    done = guide.pasted("set -e", *task, *guide.lines(5), *guide.lines(6))

    assert done.returncode == 0, done.stderr
    assert "published, as approved by approvals/" in done.stdout


def test_the_security_team_sees_and_ends_what_agents_hold(guide: Guide) -> None:
    task = guide.pasted(*guide.lines(1), *guide.lines(2)[:1])
    ended = guide.pasted(*guide.lines(5))

    assert task.returncode == 0, task.stderr
    assert ended.returncode == 0, ended.stderr
    assert "ISSUED" in ended.stdout
    assert "no new credentials from then on" in ended.stdout


def test_the_probe_line_finds_that_everything_wrong_is_refused(guide: Guide) -> None:
    done = guide.pasted(*guide.lines(10))

    assert done.returncode == 0, done.stderr
    assert "all 8 wrong requests were refused, each for the right reason" in done.stdout


def test_interrupting_it_ends_everything(guide: Guide) -> None:
    guide.program.interrupt()
    ended: Ended = guide.program.ended()

    assert ended.code == 0
    assert "Traceback" not in ended.output
    assert ended.left == ()
