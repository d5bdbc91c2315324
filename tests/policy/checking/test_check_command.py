"""`remit-server policy check` as its users call it: exit codes, text, the JSON that programs read, and its page."""

import asyncio
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from tests.checked_bundles import CATALOGUE, ISSUE, PATIENT, READER, bundle
from tests.configuration_folder import ConfigurationFolder
from tests.policy_bundles import DEFAULT_POLICIES
from typer.testing import CliRunner, Result

from remit_sandbox.configuration import AGENTS
from remit_sandbox.sample_account import role_policies
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.policy.checking.administration import RPCS
from remit_server.adapters.policy.checking.report import check_files
from remit_server.adapters.policy.checking.schemas import schemas
from remit_server.adapters.policy.rule_book import RULES
from remit_server.cli.policy import app
from remit_server.config.loading import load
from remit_server.config.settings import AgentSettings
from remit_server.iam import Document

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/policy-check.md").read_text("utf-8")
OPEN_END = {CATALOGUE: READER.replace("2026/*", "2026*")}
BROKEN = {ISSUE: "package remit.issue\n\nx := ]\n"}


def put(folder: Path, files: dict[str, str] | None = None) -> Path:
    """Writes a bundle and returns its folder."""
    for path, content in bundle(files).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def check(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["check", "--bundle", str(folder), *options])


def test_a_sound_bundle_ends_with_0_and_its_revision(tmp_path: Path) -> None:
    done = check(put(tmp_path), "--strict")

    assert (done.exit_code, done.stderr) == (0, "")
    assert re.match(r"revision [0-9a-f]{64}: 1 files of rules, 1 entitlements, 0 capabilities; 0 errors", done.stdout)


def test_a_data_file_that_is_not_read_is_told_once_and_nothing_that_follows_from_it(tmp_path: Path) -> None:
    folder = shutil.copytree(DEFAULT_POLICIES, tmp_path / "policies")
    data = folder / "remit/catalog/entitlements/data.yaml"
    data.write_text(data.read_text("utf-8") + "\nbroken: [\n", "utf-8")

    done = check(folder)

    assert done.exit_code == 1
    assert "[data-file]" in done.stderr
    assert "[unknown-data]" not in done.stderr


def test_a_folder_around_a_bundle_is_told_once_with_the_one_that_is_meant(tmp_path: Path) -> None:
    put(tmp_path / "policies")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n", "utf-8")

    done = check(tmp_path)

    assert done.exit_code != 0
    assert f"Did you mean --bundle {tmp_path / 'policies'}?" in done.stderr
    assert ".git" not in done.stderr


def test_a_hidden_folder_beside_a_bundles_manifest_is_one_error(tmp_path: Path) -> None:
    put(tmp_path)
    (tmp_path / ".git").mkdir()
    for name in ("HEAD", "config"):
        (tmp_path / ".git" / name).write_text("x\n", "utf-8")

    done = check(tmp_path)

    assert done.exit_code != 0
    assert done.stderr.count(".git/") == 1


def test_advice_ends_with_0_and_with_1_when_strict(tmp_path: Path) -> None:
    put(tmp_path, OPEN_END)

    lenient, strict = check(tmp_path), check(tmp_path, "--strict")

    assert (lenient.exit_code, strict.exit_code) == (0, 1)
    assert lenient.stderr == strict.stderr


def test_a_finding_is_told_with_place_what_rule_why_and_mend(tmp_path: Path) -> None:
    done = check(put(tmp_path, OPEN_END))

    what, why, mend = done.stderr.splitlines()
    assert what.startswith(f"advice: {CATALOGUE}:11: entitlements.reader.permissions[0].resources[0]: ")
    assert what.endswith("reports/2026* also reaches reports/20260/... [missing-slash]")
    assert why.startswith("    why:  It also reaches whatever else begins with that name")
    assert mend == "    mend: Write reports/2026/* for what is below, or reports/2026 for itself."


def test_a_refused_bundle_ends_with_1(tmp_path: Path) -> None:
    done = check(put(tmp_path, BROKEN))

    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: {ISSUE}:3: ")
    assert "refused: 1 error, 0 pieces of advice" in done.stderr


def test_what_must_not_even_be_read_is_refused_too(tmp_path: Path) -> None:
    (put(tmp_path) / "remit/link.rego").symlink_to(tmp_path / ISSUE)

    done = check(tmp_path, "--format", "json")

    (finding,) = json.loads(done.stdout)["findings"]
    assert (done.exit_code, finding["rule"], finding["path"]) == (1, "bundle-file", "remit/link.rego")


def test_what_cannot_be_checked_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "remit.toml").write_text("[listen\n")

    missing = check(tmp_path / "none")
    wrong = check(put(tmp_path / "bundle"), "--config", str(tmp_path / "remit.toml"))

    assert (missing.exit_code, wrong.exit_code) == (2, 2)
    assert "config check" in wrong.stderr


def described() -> Draft202012Validator:
    """Returns the schema that the page publishes for the JSON."""
    (text,) = re.findall(r"```json schema\n(.*?)```", PAGE, re.DOTALL)
    Draft202012Validator.check_schema(json.loads(text))
    return Draft202012Validator(json.loads(text))


@pytest.mark.parametrize(("files", "refused"), [({}, False), (OPEN_END, False), (BROKEN, True)], ids=str)
def test_the_json_is_what_the_page_says(tmp_path: Path, files: dict[str, str], refused: bool) -> None:
    done = check(put(tmp_path, files), "--format", "json")

    printed = json.loads(done.stdout)
    assert [error.message for error in described().iter_errors(printed)] == []
    assert (printed["refused"], done.stderr) == (refused, "")
    assert done.exit_code == int(refused)


def test_the_page_has_every_rule_as_the_gateway_has_it() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (error|advice) \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)

    assert rows == [(one.rule_id, one.severity.value, one.what, one.why, one.mend) for one in RULES.values()]


def test_the_default_policy_has_no_findings_even_when_strict() -> None:
    assert check(DEFAULT_POLICIES, "--strict").exit_code == 0


def test_on_the_example_s_gateway_the_default_policy_lacks_its_agents_alone(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = ConfigurationFolder.create(tmp_path_factory.mktemp("example"))
    config = folder.write((ROOT / "deploy/remit.example.toml").read_text("utf-8"))

    done = check(DEFAULT_POLICIES, "--format", "json", "--config", str(config))

    printed = json.loads(done.stdout)
    assert printed["counts"]["errors"] == 0
    assert {one["rule"] for one in printed["findings"]} == {"unknown-agent"}


def test_on_the_sandbox_s_roles_and_agents_the_default_policy_has_no_findings(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = ConfigurationFolder.create(tmp_path_factory.mktemp("sandbox"))
    settings = load(folder.write((ROOT / "deploy/remit.example.toml").read_text("utf-8")), {})
    ceilings = {arn.rpartition("/")[2]: Document.parse(text) for arn, text in role_policies().items()}
    issuer = replace(settings.issuers[0], alias="sandbox")
    agents = [AgentSettings(name, spiffe_id=spiffe_id) for name, spiffe_id in AGENTS.items()]
    sandbox = replace(
        settings,
        roles=tuple(replace(role, ceiling=ceilings[role.name]) for role in settings.roles),
        agents=(*agents, AgentSettings("reporter", issuer=issuer.issuer, subject="reporter")),
        issuers=(issuer,),
    )

    report = asyncio.run(check_files(read_files(DEFAULT_POLICIES), sandbox, PATIENT))

    assert report.findings == ()


def test_the_schemas_beside_the_policies_are_those_of_the_gateway(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["schemas", "--output", str(tmp_path / "new")])

    written = {path.name: path.read_text("utf-8") for path in (tmp_path / "new").iterdir()}
    beside = {path.name: path.read_text("utf-8") for path in (DEFAULT_POLICIES / "schemas").iterdir()}
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == len(written)
    assert written == dict(schemas()) == beside


def test_schemas_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    done = CliRunner().invoke(app, ["schemas", "--output", str(tmp_path / "file/below")])

    assert done.exit_code == 2


def test_the_security_side_s_rpcs_are_those_of_the_protos() -> None:
    declared = {
        f"{service}.{rpc}"
        for path in (ROOT / "protos/remit/v1").glob("*_service.proto")
        for service in re.findall(r"^service (\w+)", path.read_text("utf-8"), re.MULTILINE)
        for rpc in re.findall(r"^  rpc (\w+)", path.read_text("utf-8"), re.MULTILINE)
        if service != "CredentialService"
    }

    assert declared <= set(RPCS)
