"""Offered bundles, examined apart: what is found, and what becomes of the process that looks."""

import asyncio
import gzip
import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.bundle_keys import bundle_key
from tests.checked_bundles import CATALOGUE, READER, bundle
from tests.policy_bundles import DEFAULT_POLICIES, DENY_ALL, SERVING, written

from remit_server.adapters.examining.examination import ExamineApart
from remit_server.adapters.policy.bundles.archive import archive_of_files
from remit_server.adapters.policy.bundles.bundle import SIGNATURES, read_bundle
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.policy.sources.signing import SigningKey
from remit_server.config.policy_settings import BundleSigningSettings
from remit_server.domain.secret import Secret

examine = ExamineApart(SERVING)


def children() -> set[int]:
    """Returns the processes that this one has started and that still are."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


async def test_a_sound_bundle_can_be_published_as_it_came() -> None:
    files = read_files(DEFAULT_POLICIES)
    archive = archive_of_files(files)

    examined = await examine(archive)

    assert examined.refusing == ()
    assert examined.new is not None
    facts = examined.new.facts
    assert examined.new.archive == archive
    assert facts.revision == examined.revision == read_bundle(DEFAULT_POLICIES).revision
    assert facts.size == sum(map(len, files.values()))
    assert (facts.rule_files, facts.capabilities > 10, facts.entitlements > 3) == (7, True, True)


async def test_everything_that_forbids_a_bundle_is_found_at_once(tmp_path: Path) -> None:
    rules = DENY_ALL + "\nleak := http.send({})\n"
    files = {"remit/issue/issue.rego": rules, "remit/left.txt": "x"}

    examined = await examine(archive_of_files(read_files(written(tmp_path, files))))

    assert examined.new is None
    assert {finding.path for finding in examined.refusing} >= {"remit/issue/issue.rego", "remit/left.txt"}
    assert all(finding.mend for finding in examined.refusing)


async def test_a_role_that_the_gateway_lacks_is_found() -> None:
    examined = await ExamineApart(replace(SERVING, roles=SERVING.roles[:1]))(
        archive_of_files(read_files(DEFAULT_POLICIES))
    )

    assert examined.new is None
    assert {(finding.rule, finding.refuses) for finding in examined.refusing} == {("unknown-role", True)}


async def test_what_a_role_itself_may_not_do_is_refused_and_its_external_id_stays_at_home() -> None:
    narrow = replace(SERVING.roles[0], ceiling=SERVING.roles[1].ceiling, external_id=Secret("of the gateway alone"))

    examined = await ExamineApart(replace(SERVING, roles=(narrow, SERVING.roles[1])))(
        archive_of_files(read_files(DEFAULT_POLICIES))
    )

    assert examined.new is None
    assert {finding.path for finding in examined.refusing} == {"remit/catalog/entitlements/data.yaml"}


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_where_signatures_are_required_only_a_signed_bundle_may_decide(tmp_path: Path, algorithm: str) -> None:
    key = bundle_key(tmp_path, algorithm=algorithm)
    believing = ExamineApart(SERVING, BundleSigningSettings((key.settings,), required=True))
    files = read_files(DEFAULT_POLICIES)
    signatures = SigningKey.of(key.path).signatures(files, key_id="ci")

    signed = await believing(archive_of_files({**files, SIGNATURES: signatures}))
    unsigned = await believing(archive_of_files(files))
    changed = {**files, "remit/lib/more.rego": b"package remit.lib.more\n", ".manifest": b'{"roots": ["remit"]}'}
    of_others = await believing(archive_of_files({**changed, SIGNATURES: signatures}))

    assert signed.new is not None
    assert signed.new.facts.signed_by == "ci"
    assert unsigned.new is of_others.new is None
    assert [finding.problem for finding in unsigned.refusing] == ["the bundle is not signed"]
    assert {finding.path for finding in of_others.refusing} == {".manifest", "remit/lib/more.rego"}


async def test_where_time_runs_out_the_advice_is_left_out_and_what_refuses_is_not() -> None:
    with_advice = bundle({CATALOGUE: READER.replace("2026/*", "2026*")})
    outside = bundle({CATALOGUE: READER.replace("reports/2026/*", "elsewhere/2026*")})
    hurried = replace(examine, advice_seconds=-1)

    at_leisure, in_a_hurry = await examine(archive_of_files(with_advice)), await hurried(archive_of_files(with_advice))
    refused = await hurried(archive_of_files(outside))

    assert "missing-slash" in {one.rule for one in at_leisure.findings}
    assert in_a_hurry.new is not None
    assert [(one.rule, one.refuses) for one in in_a_hurry.findings] == [("advice-left-out", False)]
    assert refused.new is None
    assert {one.rule for one in refused.findings} == {"outside-ceiling", "advice-left-out"}


async def test_a_policy_that_lets_strangers_in_may_not_decide(tmp_path: Path) -> None:
    rules = 'package remit.issue\n\ndecision := {"allow": true, "entitlements": [], "reasons": []}\n'

    examined = await examine(archive_of_files(read_files(written(tmp_path, {"remit/issue/issue.rego": rules}))))

    assert examined.new is None
    assert "stranger" in examined.refusing[0].problem


@pytest.mark.parametrize("archive", [b"", b"x" * 1000, gzip.compress(b"x" * 1000, mtime=0), b"\x1f\x8b"])
async def test_what_is_no_bundle_is_a_finding(archive: bytes) -> None:
    examined = await examine(archive)

    assert (examined.revision, examined.new) == ("", None)
    assert examined.refusing


async def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    examined = await examine(gzip.compress(bytes(400 << 20), compresslevel=9))

    assert examined.new is None
    assert "unpacks to over" in examined.refusing[0].problem


async def test_a_check_that_takes_too_much_is_a_finding() -> None:
    archive = archive_of_files(read_files(DEFAULT_POLICIES))

    slow = await ExamineApart(SERVING, seconds=0)(archive)
    large = await ExamineApart(SERVING, memory_bytes=1 << 20)(archive)

    assert "took over 0 s" in slow.refusing[0].problem
    assert "took over 1 MB" in large.refusing[0].problem
    assert slow.new is large.new is None


async def test_whoever_goes_away_takes_the_process_with_them() -> None:
    before = children()
    task = asyncio.create_task(examine(archive_of_files(read_files(DEFAULT_POLICIES))))
    while not (started := children() - before):  # noqa: ASYNC110 - a process tells nobody that it began
        await asyncio.sleep(0.01)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
