"""An error out of any await of an MCP server's tools: no key in what they answer, and no task that nobody can end."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from tests.failpoints.points import Fault, Kind, Points, When, drive
from tests.scripted_gateway import AGENT, CANARIES, SUBJECT_TOKEN, TASK_ID, ScriptedGateway, scripted_gateway

from remit.local.broker import Broker
from remit.local.wishes import Caller
from remit.mcp.desk import Desk, Owner
from remit.mcp.profiles import Profiles
from remit.mcp.tools import Tools
from remit_server.domain.errors import Denied, Reason

PLACE: Final = "a wait of a tool"
FAULTS: Final = [(kind, when) for kind in Kind for when in When]
ALLOW: Final = ["s3:GetObject=arn:aws:s3:::reports/*"]


@dataclass(frozen=True)
class Chat:
    """What a tool sees of the client that calls it (a context of MCP): one that cannot be asked anything."""

    request_state: str | None = None
    client_capabilities: None = None
    input_responses: None = None


@dataclass
class Bench:
    """The tools over a desk of their own, at a gateway that gives what is asked."""

    gateway: ScriptedGateway
    tools: Tools
    given: list[str] = field(default_factory=list)

    async def request(self) -> Any:
        """Asks for access."""
        chat: Any = Chat()
        return await self.tools.request_aws_access("sum up", ALLOW, chat)

    async def end(self) -> Any:
        """Ends what was given before."""
        return await self.tools.end_task(self.given[0])

    def profiled(self) -> list[str]:
        """Returns the handles that there is a profile for."""
        return list(self.tools.profiles._regions)

    def held(self) -> list[str]:
        """Returns the handles of the tasks that live here."""
        return [held.handle for held in self.tools.desk.broker.all() if held.task is not None]


@contextmanager
def bench(gateway: ScriptedGateway, folder: Path) -> Iterator[Bench]:
    pair = gateway.authority.issue_client(AGENT)
    caller = Caller.of(
        {
            "XDG_CONFIG_HOME": str(folder),
            "REMIT_GATEWAY": gateway.mtls,
            "REMIT_CA_FILE": str(gateway.authority.bundle_path),
            "REMIT_CERTIFICATE_FILE": str(pair.certificate_path),
            "REMIT_KEY_FILE": str(pair.key_path),
            "REMIT_SUBJECT_TOKEN": SUBJECT_TOKEN,
        }
    )
    gateway.issues.clear()
    gateway.ends.clear()
    folder.chmod(0o700)
    with Broker() as broker:
        yield Bench(gateway, Tools(Desk(broker), Profiles(folder / "mcp.sock"), lambda: (Owner(), caller)))


async def played(work: Any, fault: Fault | None) -> tuple[Points, Any]:
    """Returns what came of a call with an error out of its n-th wait: an answer, or None where it was cancelled."""
    points = Points(out=-1, fault=fault, place=PLACE, is_armed=True)
    try:
        return points, await asyncio.create_task(drive(points, work))
    except asyncio.CancelledError:
        return points, None


async def each(play: Callable[[Fault | None], Any]) -> int:
    """Plays without a fault, then with every error out of every wait; returns how many there were."""
    waits = len((await play(None)).met)
    for nth in range(1, waits + 1):
        for kind, when in FAULTS:
            await play(Fault(PLACE, nth, kind, when))
    return waits


@pytest.mark.parametrize("refused", [False, True])
async def test_a_request_that_an_error_came_through_has_no_key_in_its_answer_and_leaves_no_task(
    refused: bool, tmp_path: Path
) -> None:
    async def play(fault: Fault | None) -> Points:
        if refused:
            gateway.issue_answers.append(Denied(Reason.CEILING_EXCEEDED, "no"))
        with bench(gateway, tmp_path) as made:
            points, answer = await played(made.request(), fault)
            is_given = answer is not None and not answer.is_error
            began = 0 if refused else len(gateway.issues)
            told = f"{fault}: {answer}"

            assert not any(canary in told for canary in CANARIES)
            assert made.held() == made.profiled() == ([answer.structured_content["handle"]] if is_given else []), told
            assert began - len(gateway.ends) == is_given, told
        gateway.issue_answers.clear()
        made.tools.profiles.close()
        return points

    with scripted_gateway(tmp_path) as gateway:
        assert await each(play) >= 2


async def test_a_task_is_ended_also_when_an_error_comes_out_of_ending_it(tmp_path: Path) -> None:
    async def play(fault: Fault | None) -> Points:
        with bench(gateway, tmp_path) as made:
            given = await made.request()
            made.given.append(given.structured_content["handle"])
            points, answer = await played(made.end(), fault)

            assert not any(canary in f"{answer}" for canary in CANARIES)
        assert set(gateway.ends) == {TASK_ID}
        return points

    with scripted_gateway(tmp_path) as gateway:
        assert await each(play) >= 1
