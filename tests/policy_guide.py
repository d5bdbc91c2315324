"""The policy author's guide, run: a folder with a configuration, the default policy and some history, and every line.

`python -m tests.policy_guide FOLDER` makes the folder, for a reader. Without one it writes what the commands say today
into the page. The test of the page runs them again.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.configuration_folder import TEXT, ConfigurationFolder
from tests.fakes import permission
from tests.recorded_world import ORDERS, default_bundle, recorded

from remit_server.adapters.database.policies.revisions import DatabaseRevisions
from remit_server.adapters.rego.embedded import EmbeddedRego, EngineLimits
from remit_server.application.policy.ports import ActivationOrder

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/policy-authors-guide.md"
# What is another at each run, or when the default policy changes.
_CHANGING = (
    (re.compile(r"\b[0-9a-f]{7,64}\b(\.\.\.)?"), "<digest>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00:00| UTC)?"), "<time>"),
    (re.compile(r"\b[\d,.]+ (s|ms|seconds?|inputs/s|inputs a second|a second)\b"), "<measured>"),
    (re.compile(r"\boffline:[A-Za-z0-9_.-]+"), "offline:<user>"),
    (re.compile(r" {2,}"), "  "),
    (re.compile(r"(\.rego|\.yaml):\d+"), r"\1:<line>"),
    (re.compile(r"\b\d+ of \d+\b"), "<n> of <n>"),
    (re.compile(r"\b\d+ (kinds|intents|questions|files of rules|entitlements|capabilities|tests)\b"), r"<n> \1"),
    (re.compile(r"[a-z2-7]{26}"), "<id>"),
)


@dataclass(frozen=True)
class Block:
    """A fenced block of the page: what it is, and its lines."""

    language: str
    lines: tuple[str, ...]


def prepared(folder: Path) -> Path:
    """Makes the folder that the page starts from, and returns it."""
    text = TEXT.replace('"acme.example"', '"remit.sandbox"')
    text = text.replace("spiffe://acme.example/copilot", "spiffe://remit.sandbox/agent/copilot")
    text = text.replace('agent/copilot"', 'agent/copilot"\nclient_ids = ["people:desk"]')
    text = text.replace('alias = "acme"', 'alias = "sandbox"').replace('"reporter-service"', '"reporter"')
    head, _, tail = text.rpartition("ceilings/remit-reports.json")  # the role of the data has a policy of its own
    text = f"{head}ceilings/remit-data.json{tail}"
    ConfigurationFolder.create(folder).write(text)
    claims = {"iss": "https://people.acme.example", "sub": "alice", "azp": "desk", "groups": ["analysts"]}
    intent = {
        "purpose": "compare with last year",
        "permissions": [{"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::reports/2025/q4/*"]}],
    }
    draft = {
        "purpose": "publish the draft",
        "permissions": [{"actions": ["s3:PutObject"], "resources": ["arn:aws:s3:::reports/drafts/q4.csv"]}],
    }
    for name, value in (("alice", claims), ("last-year", intent), ("draft", draft)):
        (folder / f"{name}.json").write_text(json.dumps(value, indent=2) + "\n")
    (folder / "eve.json").write_text(json.dumps(claims | {"sub": "eve", "groups": ["engineers"]}, indent=2) + "\n")
    asyncio.run(_history(folder / "data/remit.db"))
    return folder


async def _history(place: Path) -> None:
    """Has a week of decisions on record."""
    engine = await EmbeddedRego.start(default_bundle()[0], EngineLimits(spares=0, decision_seconds=10.0))
    last_year = permission("s3:GetObject", "arn:aws:s3:::reports/2025/q4/*")
    draft = permission("s3:PutObject", "arn:aws:s3:::reports/drafts/q4.csv")
    try:
        async with recorded(place, engine) as house:
            order = ActivationOrder(engine.active.digest, by="corp:ada", why="the default policy, to begin with")
            await DatabaseRevisions(house.gateway.ledger.store).activate(order)
            for day in range(6):
                await house.issues("alice", "reads")
                await house.asks("alice", last_year)
                await house.asks("eve", permission("dynamodb:GetItem", ORDERS))
                await house.asks("eve", draft)
                house.gateway.clock.advance(days=1, minutes=day)
    finally:
        await engine.close()


def blocks(page: str) -> Iterator[tuple[int, int, Block]]:
    """Yields the fenced blocks of a page with the places of their first and last line."""
    start, language, held = -1, "", list[str]()
    for number, line in enumerate(page.splitlines()):
        if start < 0 and line.startswith("```") and line != "```":
            start, language, held = number + 1, line.removeprefix("```"), []
        elif start >= 0 and line == "```":
            yield start, number, Block(language, tuple(held))
            start = -1
        elif start >= 0:
            held.append(line)


def run(block: Block, folder: Path) -> tuple[str, ...]:
    """Runs a block of console lines, or applies a change to files; returns the lines as they stand after that."""
    if block.language == "diff":
        _apply(block.lines, folder)
        return block.lines
    if block.language != "console":
        return block.lines
    shown: list[str] = []
    for line in block.lines:
        if line.startswith("$ "):
            shown += [line, *_said(line.removeprefix("$ "), folder)]
    return tuple(shown)


def alike(lines: Sequence[str]) -> list[str]:
    """Returns lines without what is another at each run."""
    told = [line.rstrip() for line in lines]
    for pattern, word in _CHANGING:
        told = [pattern.sub(word, line) for line in told]
    return told


def _said(command: str, folder: Path) -> list[str]:
    """Returns what a command says, and its exit code where that is not 0."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}/clients/python:{ROOT}/server",
        "COLUMNS": "120",
    }
    done = subprocess.run(  # noqa: S603 - the lines of our own page
        ["/bin/bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    said = done.stdout.splitlines()
    return [*said, f"(exit code {done.returncode})"] if done.returncode else said


def _apply(lines: Sequence[str], folder: Path) -> None:
    patch = "\n".join(lines) + "\n"
    subprocess.run(["git", "apply", "-p0", "-"], input=patch, text=True, cwd=folder, check=True)  # noqa: S607


def refreshed(page: str, folder: Path) -> str:
    """Returns the page with what its commands say today."""
    lines, shift = page.splitlines(), 0
    for start, end, block in list(blocks(page)):
        now = run(block, folder)
        lines[start + shift : end + shift] = now
        shift += len(now) - (end - start)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1:]:
        place = Path(sys.argv[1])
        place.mkdir(parents=True)
        prepared(place)
        sys.exit()
    with tempfile.TemporaryDirectory() as made:
        PAGE.write_text(refreshed(PAGE.read_text(), prepared(Path(made))))
