"""`policy stamp`, `policy sign` and `policy build`: what leaves is dated, sound, and what gateways then believe."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.bundle_keys import BundleKey, bundle_key
from tests.policy_bundles import DENY_ALL, written
from tests.real_opa import run_opa
from typer.testing import CliRunner, Result

from remit_server.adapters.policy.bundles.archive import archive_of_files, files_of_archive
from remit_server.adapters.policy.bundles.bundle import bundle_of, read_bundle
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.policy.bundles.manifest import built_time_of, moment
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.policy.sources.signatures import BundleSignatures
from remit_server.cli.policy import app

POLICIES = Path(__file__).parents[2] / "policies"
RULES = "remit/issue/issue.rego"
THEN = "2026-11-01T08:00:00Z"


@pytest.fixture
def key(tmp_path: Path) -> BundleKey:
    return bundle_key(tmp_path / "key")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POLICIES, tmp_path / "policies"))


def ran(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def believed(key: BundleKey, scope: str = "") -> BundleSignatures:
    return BundleSignatures.by((key.settings,), scope)


def test_sign_writes_what_a_gateway_and_opa_believe(tmp_path: Path, folder: Path, key: BundleKey) -> None:
    before = datetime.now(UTC).replace(microsecond=0)

    done = ran("sign", "-b", folder, "--key", key.path, "--key-id", "ci", "--scope", "prod")

    assert done.exit_code == 0, done.output
    files = read_files(folder)
    assert believed(key, "prod").signed_by(files) == "ci"
    assert read_bundle(folder).revision == read_bundle(POLICIES).revision
    built_time = built_time_of(files)
    assert built_time is not None
    assert before <= built_time <= datetime.now(UTC)
    options = ["--verification-key", str(key.public_path), "--verification-key-id", "ci", "--signing-alg", "ES256"]
    (tmp_path / "signed.tar.gz").write_bytes(archive_of_files(files))
    run_opa("build", "-b", "signed.tar.gz", "--scope", "prod", *options, "-o", "again.tar.gz", folder=tmp_path)


def test_build_keeps_every_byte_and_the_revision_of_the_folder(tmp_path: Path, folder: Path, key: BundleKey) -> None:
    archive = tmp_path / "bundle.tar.gz"

    done = ran("build", "-b", folder, "-o", archive, "--key", key.path, "--key-id", "ci", "--built-time", THEN)

    assert done.exit_code == 0, done.output
    files = files_of_archive(archive.read_bytes())
    assert believed(key).signed_by(files) == "ci"
    assert bundle_of(files).revision == read_bundle(POLICIES).revision
    assert built_time_of(files) == moment(THEN)
    kept = {path: content for path, content in read_files(POLICIES).items() if path != ".manifest"}
    assert {path: files[path] for path in kept} == kept
    assert read_files(folder) == read_files(POLICIES)
    assert [entry.name for entry in tmp_path.glob("bundle*")] == ["bundle.tar.gz"]


def test_equal_files_of_one_time_build_equal_archives(tmp_path: Path, folder: Path) -> None:
    outputs = [tmp_path / "a.tar.gz", tmp_path / "b.tar.gz"]

    for output in outputs:
        assert ran("build", "-b", folder, "-o", output, "--built-time", THEN).exit_code == 0

    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_build_without_a_key_carries_no_older_signature_on(tmp_path: Path, folder: Path, key: BundleKey) -> None:
    ran("sign", "-b", folder, "--key", key.path, "--key-id", "ci")

    ran("build", "-b", folder, "-o", tmp_path / "bundle.tar.gz")

    assert ".signatures.json" not in files_of_archive((tmp_path / "bundle.tar.gz").read_bytes())


@pytest.mark.parametrize("command", ["sign", "build"])
def test_a_bundle_with_faults_never_leaves(tmp_path: Path, key: BundleKey, command: str) -> None:
    folder = written(tmp_path / "bundle", {RULES: DENY_ALL, "remit/stray.txt": "x"})
    before = read_files(folder)

    done = ran(
        command,
        *("-b", folder, "--key", key.path, "--key-id", "ci"),
        *(["-o", tmp_path / "b.tar.gz"] if command == "build" else []),
    )

    assert done.exit_code == 1
    assert "remit/stray.txt" in done.output
    assert read_files(folder) == before
    assert not (tmp_path / "b.tar.gz").exists()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--key-id", "ci", "--key", "{missing}"], "openssl genpkey"),
        (["--key-id", "a/b", "--key", "{key}"], "--key-id must be"),
        (["--key-id", "", "--key", "{key}"], "--key-id must be"),
        (["--key-id", "ci", "--key", "{key}", "--scope", "a b"], "--scope must be"),
        (["--key-id", "ci", "--key", "{key}", "--built-time", "yesterday"], "--built-time must be"),
        (["--key-id", "ci", "--key", "{key}", "--built-time", "2026-02-30T00:00:00Z"], "--built-time must be"),
    ],
)
def test_what_will_not_do_is_told_with_what_to_do(
    tmp_path: Path, folder: Path, key: BundleKey, options: list[str], why: str
) -> None:
    named = [option.format(missing=tmp_path / "missing", key=key.path) for option in options]

    for command in ("sign", "build"):
        done = ran(command, "-b", folder, *named)

        assert done.exit_code == 2
        assert why in done.output
    assert read_files(folder) == read_files(POLICIES)


def test_build_wants_no_id_without_a_key(folder: Path) -> None:
    done = ran("build", "-b", folder, "--key-id", "ci")

    assert done.exit_code == 2
    assert "name its key" in done.output


def test_build_says_when_it_cannot_write(tmp_path: Path, folder: Path) -> None:
    done = ran("build", "-b", folder, "-o", tmp_path / "none" / "b.tar.gz")

    assert done.exit_code == 2
    assert "cannot be written" in done.output


def test_stamp_dates_a_revision_once(folder: Path) -> None:
    manifest = folder / ".manifest"
    assert ran("stamp", "-b", folder).exit_code == 0
    dated = manifest.read_bytes()
    told = json.loads(dated)
    told["metadata"]["remit"]["built_time"] = THEN
    told["metadata"]["team"] = "security"
    manifest.write_text(json.dumps(told))

    ran("stamp", "-b", folder)
    again = json.loads(manifest.read_text())
    (folder / RULES).write_text((folder / RULES).read_text() + "\n# changed\n")
    ran("stamp", "-b", folder)
    changed = json.loads(manifest.read_text())

    assert again["metadata"] == {"remit": {"built_time": THEN}, "team": "security"}
    assert changed["revision"] != again["revision"]
    assert changed["metadata"]["team"] == "security"
    assert datetime.fromisoformat(changed["metadata"]["remit"]["built_time"]) > datetime.now(UTC) - timedelta(hours=1)
    assert read_bundle(folder).revision == changed["revision"]


@pytest.mark.parametrize(
    "said",
    ['"2026-11-01"', '"2026-11-01T08:00:00+00:00"', '"2026-11-01T08:00:00.5Z"', '"2026-13-01T08:00:00Z"', "1", "null"],
)
def test_a_time_that_is_none_is_a_fault_of_the_manifest(tmp_path: Path, said: str) -> None:
    manifest = f'{{"roots": ["remit"], "metadata": {{"remit": {{"built_time": {said}}}}}}}'

    with pytest.raises(BundleRefused, match=r"\.manifest: metadata\.remit is not exactly a built_time"):
        read_bundle(written(tmp_path, {RULES: DENY_ALL, ".manifest": manifest}))


def test_the_time_that_stamp_wrote_survives_opa_build_and_is_signed_by_it(tmp_path: Path, folder: Path) -> None:
    key = bundle_key(tmp_path / "key", "default")
    ran("stamp", "-b", folder)
    stamped = built_time_of(read_files(folder))
    archive = tmp_path / "opa.tar.gz"
    options = ["--signing-key", str(key.path), "--signing-alg", "ES256"]

    run_opa("build", "-b", ".", "--revision", "", *options, "-o", str(archive), folder=folder)

    files = files_of_archive(archive.read_bytes())
    assert believed(key).signed_by(files) == "default"
    assert built_time_of(files) == stamped
    assert stamped is not None
