"""Reads the repertoire of a prompt-injected agent, and plays it against a broker."""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from tests.attack.black_box.broker import (
    COPILOT,
    CRAWLER,
    THEIR_COPILOT,
    WORLD,
    Agent,
    Ask,
    Broker,
    Given,
    Outcome,
    Refused,
    Said,
    Scene,
)
from tests.concrete_world import escape
from tests.fake_sts import Request

CORPUS = yaml.safe_load((Path(__file__).parent / "repertoire.yaml").read_text())
ATTACKS: Mapping[str, Sequence[Mapping[str, Any]]] = {each["name"]: each["steps"] for each in CORPUS["attacks"]}
AGENTS = {"copilot": COPILOT, "crawler": CRAWLER, "partner's copilot": THEIR_COPILOT}
KNOWN = {"does", "as", "user", "allow", "use", "purpose", "labels", "seconds", "narrow", "request", "keep", "of", "to",
         "times", "wide", "expect", "hides", "task", "token_of"}  # fmt: skip
FLOOR = ("iam:", "sts:", "organizations:", "account:")


@dataclass(frozen=True, slots=True)
class Played:
    """What a step came to: the answer, and what reached STS meanwhile."""

    outcome: Outcome
    sent: Sequence[Request]


@dataclass(slots=True)
class Stage:
    """One attack under way; `kept` are earlier answers by name."""

    broker: Broker
    scene: Scene
    kept: dict[str, Outcome] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)

    def play(self, step: Mapping[str, Any]) -> Played:
        """Makes the call of a step."""
        before = len(self.scene.sts_log())
        outcome = self._verb(step)()
        if "keep" in step:
            self.kept[step["keep"]] = outcome
        return Played(outcome, self.scene.sts_log()[before:])

    def _verb(self, step: Mapping[str, Any]) -> Callable[[], Outcome]:
        agent, broker = AGENTS[step.get("as", "copilot")], self.broker
        bound = AGENTS[step["token_of"]] if "token_of" in step else agent
        token = self.scene.of_user(step.get("user", "alice"), bound)
        about = self.kept.get(step.get("of", ""))
        grant = about.grant if isinstance(about, Given) else ""
        verbs: Mapping[str, Callable[[], Outcome]] = {
            "exchange": lambda: broker.exchange(agent, token, self._ask(step)),
            "preview": lambda: broker.preview(agent, token, self._ask(step)),
            "renew": lambda: broker.renew(agent, token, grant, step.get("seconds", 0)),
            "part": lambda: broker.part(agent, grant, self._ask(step)),
            "hand_on": lambda: broker.hand_on(agent, self._task(step), AGENTS[step["to"]]),
            "end": lambda: broker.end(agent, self._task(step)),
            "decision": lambda: broker.decision(agent, self._request(step)),
        }
        return verbs[step.get("does", "exchange")]

    def _task(self, step: Mapping[str, Any]) -> str:
        about = self.kept.get(step.get("of", ""))
        return about.task if isinstance(about, Given | Said) else str(step.get("task", ""))

    def _request(self, step: Mapping[str, Any]) -> str:
        return self.requests.setdefault(step["request"], str(uuid.uuid4())) if "request" in step else ""

    def _ask(self, step: Mapping[str, Any]) -> Ask:
        use = step.get("use", {})
        allow = step.get("allow", [] if use else [CORPUS["honest"]])
        wide = [text.replace("{n}", str(number)) for text in allow for number in range(step.get("wide", 1))]
        return Ask(
            permissions=tuple(_permission(text) for text in (wide if "wide" in step else allow)),
            capabilities=tuple(use.items()),
            purpose=step.get("purpose", "summarise Q3"),
            labels=step.get("labels", {}),
            seconds=step.get("seconds", 0),
            narrow=step.get("narrow", False),
            task="" if step.get("does") == "part" else self._task(step),
            request_id=self._request(step),
        )


def _permission(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    actions, _, resources = text.partition(" on ")
    return tuple(actions.split(" ")), tuple(resources.split(" "))


def each_time(step: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Gives a step as often as it is to be played."""
    if "times" not in step:
        yield step
        return
    for number in range(step["times"]):
        yield json.loads(json.dumps(step).replace("{n}", str(number)))


def expected(step: Mapping[str, Any]) -> set[str]:
    """Returns what may become of a step."""
    return set([step["expect"]] if isinstance(step["expect"], str) else step["expect"])


def became(played: Played, honest: str) -> set[str]:
    """Returns what a step came to, in the words of the corpus."""
    match played.outcome:
        case Given():
            same = {policy_of(request) for request in played.sent} == {honest}
            return {"given", "same"} if same else {"given"}
        case Said():
            return {"said"}
        case Refused(why):
            return {str(why)}


def policy_of(request: Request) -> str:
    """Returns a session policy that reached STS, without its end."""
    kept = [each for each in json.loads(request.policy)["Statement"] if "DateGreaterThanEquals" not in str(each)]
    return json.dumps(kept, sort_keys=True)


def beyond_the_world(request: Request, agent: Agent, groups: Sequence[str]) -> str:
    """Returns what a session may do that nobody may delegate to this agent, by STS's log alone; empty: nothing."""
    policy, role = json.loads(request.policy), request.form["RoleArn"]
    statements = [
        {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
        for each in WORLD.delegable.values()
        if each.issuer == agent.issuer and each.group in groups and agent in each.agents and each.role == role
        for actions, resources in each.permissions
    ]
    if not statements:
        return f"a session of {role}"
    floor = [
        action
        for each in policy["Statement"]
        if each["Effect"] == "Allow"
        for action in ([each["Action"]] if isinstance(each["Action"], str) else each["Action"])
        if action == "*" or action.lower().startswith(FLOOR)
    ]
    return ", ".join(floor) or " on ".join(escape(policy, {"Statement": statements}) or ())
