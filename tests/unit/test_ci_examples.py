"""The pipelines in examples/ci: what they may, that their command lines are ours, and that their scripts work."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
import yaml
from tests.policy_bundles import DEFAULT_POLICIES
from typer.testing import CliRunner

from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.adapters.rego.asked import asked_bundle
from remit_server.application.comparing.asking.questions import operator_question
from remit_server.cli.main import app
from remit_server.domain.administration import AdminAllow, AdminDeny
from remit_server.domain.decision import DecisionInput, canonical_json

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "ci"
GITHUB = EXAMPLES / "github" / "policy.yml"
GITLAB = EXAMPLES / "gitlab" / ".gitlab-ci.yml"
TOKEN = "ghs_not-to-be-seen"
RUNNER = CliRunner()


def loaded(path: Path) -> dict[Any, Any]:
    value: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return value


def scripts(path: Path) -> Iterator[str]:
    """Yields every piece of shell of a pipeline."""
    waiting: list[Any] = [loaded(path)]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            for key, value in item.items():
                if key in {"run", "script", "before_script"}:
                    yield from value if isinstance(value, list) else [value]
                else:
                    waiting.append(value)


def commands(path: Path) -> list[list[str]]:
    """Returns the arguments of every remit-server that a pipeline starts."""
    lines = [line.strip() for script in scripts(path) for line in script.splitlines()]
    started = [line for line in lines if line.startswith("remit-server ")]
    return [shlex.split(re.split(r"\s(?:>|\|\|)", line)[0])[1:] for line in started]


@pytest.mark.parametrize("path", [GITHUB, GITLAB])
def test_every_command_line_is_one_that_remit_server_takes(path: Path) -> None:
    found = commands(path)

    refused = {
        " ".join(one): result.output for one in found if (result := RUNNER.invoke(app, [*one, "--help"])).exit_code
    }

    assert {one[1] for one in found} == {"check", "test", "mutate", "diff", "replay", "publish"}
    assert refused == {}


@pytest.mark.parametrize("arguments", [[], ["github", "remit-policy"], ["elsewhere", "remit-policy", "diff.md"]])
def test_a_comment_asked_for_wrongly_is_answered_with_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status = script("comment.py").main(arguments)

    assert (status, capsys.readouterr().err) == (2, "usage: python comment.py github|gitlab MARK FILE...\n")


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yml")))
def test_every_file_is_yaml_and_every_piece_of_shell_is_shell(path: Path) -> None:
    for script in scripts(path):
        done = subprocess.run([BASH, "-n", "-c", script], capture_output=True, text=True, check=False)  # noqa: S603

        assert done.returncode == 0, done.stderr


BASH = str(shutil.which("bash"))


def test_every_action_is_pinned_by_the_digest_of_a_commit() -> None:
    used = [step["uses"] for job in loaded(GITHUB)["jobs"].values() for step in job["steps"] if "uses" in step]

    assert used
    assert all(re.fullmatch(r"[a-z/-]+@[0-9a-f]{40}", one) for one in used)
    assert re.fullmatch(r"python:[0-9.]+-slim@sha256:[0-9a-f]{64}", loaded(GITLAB)["default"]["image"])


def test_no_job_on_github_has_a_right_that_it_does_not_need() -> None:
    workflow = loaded(GITHUB)

    assert workflow["permissions"] == {}
    assert {name: job["permissions"] for name, job in workflow["jobs"].items()} == {
        "examine": {"contents": "read"},
        "replay": {"contents": "read", "id-token": "write"},
        "comment": {"contents": "read", "pull-requests": "write"},
        "agree": {},
        "gate": {},
        "publish": {"contents": "read", "id-token": "write"},
    }
    # `on` is a boolean to YAML 1.1.
    assert set(workflow[True]) == {"pull_request", "push"}


def test_nothing_of_a_change_becomes_a_command() -> None:
    assert [script for script in scripts(GITHUB) if "${{" in script] == []


def test_who_may_write_comments_runs_the_script_of_the_base() -> None:
    job = loaded(GITHUB)["jobs"]["comment"]

    checkouts = [step["with"] for step in job["steps"] if "checkout" in step.get("uses", "")]
    assert checkouts == [{"ref": "${{ github.event.pull_request.base.sha }}", "persist-credentials": False}]
    assert 'git show "${CI_MERGE_REQUEST_DIFF_BASE_SHA}:ci/comment.py" > /tmp/comment.py' in list(scripts(GITLAB))


@pytest.mark.parametrize("path", [GITHUB, GITLAB])
def test_no_pipeline_lets_a_widening_pass_by_its_own_file(path: Path) -> None:
    given = {argument for command in commands(path) for argument in command}

    assert given.isdisjoint({"--allow-widening", "--rules-reviewed", "--allow-refusals"})


@pytest.mark.parametrize(
    ("examined", "verdict", "agreed", "passes"),
    [
        ("success", "passes", "skipped", True),
        ("success", "needs-a-yes", "success", True),
        ("success", "needs-a-yes", "skipped", False),
        ("success", "needs-a-yes", "failure", False),
        ("success", "", "skipped", False),
        ("success", "", "success", False),
        ("failure", "passes", "success", False),
        ("cancelled", "", "skipped", False),
        ("skipped", "", "skipped", False),
    ],
)
def test_the_gate_opens_for_what_passes_or_was_agreed_to_only(
    examined: str, verdict: str, agreed: str, passes: bool
) -> None:
    (step,) = loaded(GITHUB)["jobs"]["gate"]["steps"]
    values = {"EXAMINED": examined, "VERDICT": verdict, "AGREED": agreed}

    done = subprocess.run([BASH, "-e", "-c", step["run"]], env=values, check=False)  # noqa: S603

    assert set(step["env"]) == set(values)
    assert (done.returncode == 0) is passes


@pytest.mark.parametrize(
    ("status", "verdict", "ends"),
    [(0, "verdict=passes\n", 0), (1, "verdict=needs-a-yes\n", 0), (2, "", 2), (139, "", 139)],
)
def test_what_the_diff_says_is_what_the_job_says(status: int, verdict: str, ends: int, tmp_path: Path) -> None:
    (step,) = [one for one in loaded(GITHUB)["jobs"]["examine"]["steps"] if one.get("id") == "diff"]
    stand_in = tmp_path / "remit-server"
    stand_in.write_text(f'#!{BASH}\ncase "$*" in *--ci*) echo told; exit {status};; esac\n', encoding="utf-8")
    stand_in.chmod(0o755)
    output = tmp_path / "output"
    output.touch()
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(output), "BASE": "0" * 40}

    done = subprocess.run([BASH, "-e", "-c", step["run"]], env=env, cwd=tmp_path, check=False, capture_output=True)  # noqa: S603

    assert done.returncode == ends
    assert output.read_text(encoding="utf-8") == verdict
    assert (tmp_path / "diff.md").read_text(encoding="utf-8") == "told\n"


def test_the_child_pipeline_of_a_widening_waits_for_a_person_and_blocks() -> None:
    (waiting,) = loaded(EXAMPLES / "gitlab" / "needs-a-yes.yml").values()
    (passing,) = loaded(EXAMPLES / "gitlab" / "passes.yml").values()

    assert (waiting["when"], waiting["allow_failure"], waiting["environment"]) == ("manual", False, "policy-widening")
    assert "when" not in passing
    assert loaded(GITLAB)["policy:agree"]["trigger"]["strategy"] == "depend"


class Api(BaseHTTPRequestHandler):
    """GitHub's and GitLab's comments, as far as the script asks; also what leads away and what says no."""

    comments: ClassVar[list[dict[str, Any]]] = []
    asked: ClassVar[list[tuple[str, str, str]]] = []
    says: ClassVar[int] = 200

    def do_GET(self) -> None:
        self._note()
        if self.says != 200:
            self.send_response(self.says)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")  # type: ignore[attr-defined]
            self.end_headers()
            self.wfile.write(TOKEN.encode())
        elif self.path.endswith("/user"):
            self._answer({"username": "policy-bot"})
        elif "audience=" in self.path:
            self._answer({"value": "a.b.c"})
        else:
            self._answer(self.comments if "page=1" in self.path.split("&") else [])

    def do_POST(self) -> None:
        self._note()
        by_github = {"user": {"login": "github-actions[bot]"}}
        author = by_github if self.path.startswith("/repos/") else {"author": {"username": "policy-bot"}}
        self.comments.append({"id": len(self.comments) + 1, **author, **self._content()})
        self._answer({})

    def do_PATCH(self) -> None:
        self._note()
        number = int(self.path.rpartition("/")[2])
        self.comments[number - 1].update(self._content())
        self._answer({})

    do_PUT = do_PATCH  # noqa: N815 - as above

    def log_message(self, *_arguments: object) -> None:
        """Keeps quiet."""

    def _note(self) -> None:
        token = self.headers.get("Authorization") or self.headers.get("PRIVATE-TOKEN") or ""
        self.asked.append((self.command, self.path, token))

    def _content(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return content

    def _answer(self, value: object) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())


@pytest.fixture
def api() -> Iterator[str]:
    Api.comments, Api.asked, Api.says = [], [], 200
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(name).stem, EXAMPLES / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def commented(host: str, api: str, monkeypatch: pytest.MonkeyPatch, *files: Path) -> int:
    values = {
        "GITHUB_API_URL": api,
        "GITHUB_REPOSITORY": "acme/policies",
        "PULL_REQUEST": "7",
        "GITHUB_TOKEN": TOKEN,
        "CI_API_V4_URL": f"{api}/api/v4",
        "CI_PROJECT_ID": "12",
        "CI_MERGE_REQUEST_IID": "7",
        "REMIT_NOTES_TOKEN": TOKEN,
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    status: int = script("comment.py").main([host, "remit-policy", *map(str, files)])
    return status


@pytest.mark.parametrize("host", ["github", "gitlab"])
def test_a_change_has_one_comment_that_each_run_renews(
    host: str, api: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told = tmp_path / "diff.md"
    told.write_text("first", encoding="utf-8")
    stranger = {"user": {"login": "mallory"}} if host == "github" else {"author": {"username": "mallory"}}
    Api.comments.append({"id": 1, **stranger, "body": "<!-- remit-policy --> mine"})

    first = commented(host, api, monkeypatch, told)
    told.write_text("second", encoding="utf-8")
    second = commented(host, api, monkeypatch, told)

    assert (first, second) == (0, 0)
    assert [one["body"] for one in Api.comments] == ["<!-- remit-policy --> mine", "<!-- remit-policy -->\nsecond"]
    assert all(TOKEN in token for _, _, token in Api.asked)
    assert TOKEN not in "".join(capfd.readouterr())


@pytest.mark.parametrize("says", [401, 403, 500, 302, 307])
def test_a_refusal_is_told_by_its_number_and_leads_nowhere(
    says: int, api: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told = tmp_path / "diff.md"
    told.write_text("first", encoding="utf-8")
    Api.says = says

    status = commented("github", api, monkeypatch, told)

    said = "".join(capfd.readouterr())
    assert status == 2
    assert str(says) in said
    assert TOKEN not in said
    assert [path for _, path, _ in Api.asked if "elsewhere" in path] == []


def test_a_long_outcome_is_cut_to_what_a_comment_takes_and_its_fence_closed(tmp_path: Path) -> None:
    module = script("comment.py")
    told = tmp_path / "diff.md"
    told.write_text("````diff\n" + "+ s3:PutObject\n" * 9_000, encoding="utf-8")

    text = module.body("<!-- m -->", [told, told])

    assert len(text) <= 65_536
    assert text.count("\n````\n\nCut: see the job's log.\n") == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [("PULL_REQUEST", "7/../../x"), ("GITHUB_REPOSITORY", "a/b/c"), ("GITHUB_API_URL", "http://api.example")],
)
def test_a_value_that_is_odd_reaches_no_address(name: str, value: str) -> None:
    module = script("comment.py")
    values = {
        "GITHUB_REPOSITORY": "a/b",
        "PULL_REQUEST": "7",
        "GITHUB_API_URL": "https://api.example",
        "GITHUB_TOKEN": TOKEN,
    }

    with pytest.raises(module.Failed) as failed:
        module.github({**values, name: value})

    assert TOKEN not in str(failed.value)


def test_an_operators_token_is_masked_and_only_its_user_reads_the_file(
    api: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{api}/token?v=1")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", TOKEN)
    file = tmp_path / "token"

    status = script("github/operator_token.py").main(["https://remit.acme.example/operators", str(file)])

    assert status == 0
    assert file.read_text(encoding="ascii") == "a.b.c"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "".join(capfd.readouterr()) == "::add-mask::a.b.c\n"
    assert Api.asked == [("GET", "/token?v=1&audience=https%3A%2F%2Fremit.acme.example%2Foperators", f"Bearer {TOKEN}")]


async def test_the_rule_for_gitlab_lets_the_pipelines_of_one_project_replay_and_nothing_else(tmp_path: Path) -> None:
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    rule = readme.partition("```rego\n")[2].partition("```")[0]
    rights = readme.partition("```yaml\n")[2].partition("```")[0]
    folder = tmp_path / "policies"
    shutil.copytree(DEFAULT_POLICIES, folder)
    admin, data = folder / "remit/admin/admin.rego", folder / "remit/catalog/administration/data.yaml"
    admin.write_text(f"{admin.read_text(encoding='utf-8')}\n{rule}", encoding="utf-8")
    data.write_text(data.read_text(encoding="utf-8").replace("by_caller: {}\n", rights), encoding="utf-8")
    gitlab = "https://gitlab.acme.example"

    def asked(project: str, rpc: str) -> DecisionInput:
        caller = (gitlab, "project_path:acme/policies:ref_type:branch:ref:feature")
        value = json.loads(operator_question("", caller, gitlab, rpc, None).text)
        value["caller"]["claims"] = {"project_path": project}
        return DecisionInput(canonical_json(value))

    async with asked_bundle(read_bundle(folder, stamped=False)) as policy:
        allowed = await policy.administer(asked("acme/policies", "PolicyService.ReplayRevision"))
        other = await policy.administer(asked("mallory/policies", "PolicyService.ReplayRevision"))
        more = await policy.administer(asked("acme/policies", "PolicyService.ActivateRevision"))
        hub = ("https://token.actions.githubusercontent.com", "repo:acme/policies:environment:policy-publish")
        publishes = await policy.administer(operator_question("", hub, hub[0], "PolicyService.PublishRevision", None))
        replays = await policy.administer(operator_question("", hub, hub[0], "PolicyService.ReplayRevision", None))

    assert isinstance(allowed, AdminAllow)
    assert isinstance(other, AdminDeny)
    assert isinstance(more, AdminDeny)
    assert isinstance(publishes, AdminAllow)
    assert isinstance(replays, AdminDeny)
