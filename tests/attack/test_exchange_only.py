"""Another broker than Remit may lack verbs: what needs them is skipped by their names, and nothing breaks.

`started` is the smallest adapter: a broker that can only be asked for credentials, and refuses everybody.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from tests.attack.black_box import conftest
from tests.attack.black_box.broker import Agent, Ask, Broker, Outcome, Refused, Scene, Unsupported, Why
from tests.e2e.watched import plain_environment

ROOT = Path(__file__).parents[2]
TRIED = [f"tests/attack/black_box/test_{name}.py" for name in ("confusion", "repertoire", "http2")]
HOOKS: list[Callable[[], Any]] = [conftest.pytest_runtest_setup, conftest.pytest_runtest_call]


class ExchangeOnly:
    """Refuses everybody (implements `Broker`)."""

    address, process = "", 0

    def exchange(self, agent: Agent, subject_token: str, ask: Ask) -> Outcome:
        """Gives nothing."""
        del agent, subject_token, ask
        return Refused(Why.BEYOND, "nobody may")

    def __getattr__(self, verb: str) -> Any:
        def missing(*_: object) -> None:
            raise Unsupported(verb)

        return missing


@contextmanager
def started(scene: Scene) -> Iterator[Broker]:
    """Needs nothing of its surroundings."""
    del scene
    yield ExchangeOnly()


def test_a_broker_that_only_has_exchange_is_tried_with_skips_by_the_verbs_name_and_no_error(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--junitxml={report}"]
    environment = plain_environment({"REMIT_ATTACK_BROKER": f"{__name__}:started"})

    ended = subprocess.run(  # noqa: S603 - this suite
        [sys.executable, "-m", "pytest", *options, *TRIED],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    said = ET.parse(report).getroot()  # noqa: S314 - pytest wrote it
    skipped = {each.get("message", "") for each in said.iter("skipped")}
    assert [each.get("message") for each in said.iter("error")] == [], ended.stdout
    assert [each.text for each in said.iter("failure") if "Unsupported" in (each.text or "")] == []
    verbs = ("on_the_wire", "preview", "renew", "part", "hand_on", "end", "decision")
    assert skipped <= {f"this broker has no verb {verb}" for verb in verbs}
    assert {"this broker has no verb on_the_wire", "this broker has no verb preview"} <= skipped
    assert "nobody may" in ended.stdout  # what it was asked and should have given fails


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("ours", [None, conftest.OURS])
def test_remit_itself_is_never_skipped_for_a_verb_that_it_lacks(
    monkeypatch: pytest.MonkeyPatch, hook: Callable[[], Any], ours: str | None
) -> None:
    monkeypatch.delenv("REMIT_ATTACK_BROKER", raising=False)
    if ours is not None:
        monkeypatch.setenv("REMIT_ATTACK_BROKER", ours)
    running = hook()
    next(running)

    with pytest.raises(Unsupported, match="no verb renew"):
        running.throw(Unsupported("renew"))


@pytest.mark.parametrize("hook", HOOKS)
def test_another_broker_is_skipped_by_the_verb_in_a_tests_setup_and_in_the_test(
    monkeypatch: pytest.MonkeyPatch, hook: Callable[[], Any]
) -> None:
    monkeypatch.setenv("REMIT_ATTACK_BROKER", "theirs:started")
    running = hook()
    next(running)

    with pytest.raises(pytest.skip.Exception, match="no verb renew"):
        running.throw(Unsupported("renew"))
