"""Tools as they are shipped on the live sandbox: what a task allows they do, and nothing else."""

from dataclasses import dataclass

import pytest
from tests.e2e.machines import Machine, machine
from tests.e2e.unmodified.hand import Shown, hand
from tests.e2e.unmodified.tools import TOOLS, Tool, found, profiles_file

from remit_sandbox.sandbox import Sandbox

pytestmark = pytest.mark.timeout(300)  # programs of others, each of which takes seconds to start on a busy machine
MINE, OTHERS = ("reports", "2026/q3/summary.md"), ("reports", "2026/q2/summary.md")
KEYS = "aws_access_key_id = AKIAFILE\naws_secret_access_key = made-up\n"
TASKS = """
[profiles.reports]
purpose = "summarise Q3"
allow = ["s3.read_prefix bucket=reports prefix=2026/q3/", "s3.list_prefix bucket=reports prefix=2026/q3/"]

[profiles.payroll]
purpose = "read what nobody delegates"
allow = ["s3:GetObject=arn:aws:s3:::payroll/*"]
"""
AMBIENT = {"AWS_ACCESS_KEY_ID": "AKIAAMBIENT", "AWS_SECRET_ACCESS_KEY": "made-up"}


@dataclass(frozen=True, slots=True)
class Story:
    """What one tool showed in one task: what the task allows, what it does not, and after somebody ended the task.

    `alone` is the same without `remit run`; `code` what `remit run` exited with when the tool was the last command.
    """

    task_id: str
    alone: Shown
    allowed: Shown
    denied: Shown
    over: Shown
    code: int


@pytest.fixture(scope="module", params=TOOLS)
def tool(request: pytest.FixtureRequest) -> Tool:
    tool: Tool = request.param
    found(tool)
    return tool


@pytest.fixture(scope="module")
def mine(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory, alice_token: str) -> Machine:
    """A machine whose user has other AWS keys in both files, and profiles for remit's tasks."""
    mine = machine(sandbox, tmp_path_factory.mktemp("machine"), alice_token, profiles=TASKS)
    folder = mine.folder / "home" / ".aws"
    folder.mkdir()
    (folder / "credentials").write_text(f"[default]\n{KEYS}")
    profiles = profiles_file(mine.folder, "reports", "payroll").read_text()
    (folder / "config").write_text(f"[default]\n{KEYS}{profiles}")
    return mine


@pytest.fixture(scope="module")
def reading(sandbox: Sandbox, tool: Tool) -> list[str]:
    """The tool's command line for what the task allows."""
    return tool.reading(sandbox.aws.endpoint_url, *MINE)


@pytest.fixture(scope="module")
def denied(sandbox: Sandbox, tool: Tool) -> list[str]:
    """The tool's command line for what the task does not allow."""
    return tool.reading(sandbox.aws.endpoint_url, *OTHERS)


@pytest.fixture(scope="module")
def story(mine: Machine, reading: list[str], denied: list[str]) -> Story:
    alone = mine.run(*reading, environ=AMBIENT)
    with hand(mine, environ=AMBIENT) as shell:
        allowed, refused = shell.runs(reading), shell.runs(denied)
        ended = mine.remit("end", shell.task_id)
        assert ended.returncode == 0, ended.stderr
        over = shell.runs_until_it_fails(reading)
        code = shell.leaves(reading)
    return Story(shell.task_id, Shown.of(alone), allowed, refused, over, code)


def by_profile(mine: Machine, name: str, command: list[str]) -> Shown:
    return Shown.of(mine.run(*command, environ={"AWS_PROFILE": name}))


def test_it_reads_what_the_task_allows(story: Story, tool: Tool) -> None:
    assert story.allowed.code == 0, story.allowed.text
    assert tool.shows in story.allowed.stdout


def test_it_is_refused_the_rest_and_shows_it(story: Story, tool: Tool) -> None:
    assert story.denied.code != 0
    assert tool.denied in story.denied.stderr
    assert "Revenue" not in story.denied.text


def test_other_keys_on_the_machine_win_without_remit_run_and_not_under_it(story: Story, tool: Tool) -> None:
    assert tool.unknown in story.alone.stderr
    assert story.allowed.code == 0


def test_it_stops_when_the_task_is_ended_and_shows_why_where_it_shows_anything(story: Story, tool: Tool) -> None:
    assert story.over.code != 0
    assert tool.shows not in story.over.text
    assert (f"GRANT_NOT_LIVE: task {story.task_id}" in story.over.words) is tool.tells_endpoint
    assert ("what to do: start another task" in story.over.words) is tool.tells_endpoint


def test_remit_run_exits_as_it_does(story: Story) -> None:
    assert story.code == story.over.code


def test_a_profile_gives_it_what_the_task_allows_and_no_more(
    mine: Machine, tool: Tool, reading: list[str], denied: list[str]
) -> None:
    shown, refused = by_profile(mine, "reports", reading), by_profile(mine, "reports", denied)

    assert shown.code == 0, shown.text
    assert tool.shows in shown.stdout
    assert refused.code != 0
    assert tool.denied in refused.stderr


def test_a_refusal_by_the_policy_is_shown_where_it_shows_what_a_credential_process_says(
    mine: Machine, tool: Tool, reading: list[str]
) -> None:
    shown = by_profile(mine, "payroll", reading)

    assert shown.code != 0
    assert tool.shows not in shown.text
    assert ("CEILING_EXCEEDED: " in shown.words) is tool.tells_process
    assert ("what to do: " in shown.words) is tool.tells_process
