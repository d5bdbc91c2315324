"""What the user confirms in person: asked by way of the MCP client, decided on a page after a fresh login."""

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp_types import ElicitRequestURLParams, ElicitResult
from tests.e2e.gateways import OwnGateway, own_gateway
from tests.e2e.machines import PROFILES, Machine, machine
from tests.e2e.test_mcp import asked, copilot
from tests.policy_revisions import sample_with
from tests.waiting import until

from remit_sandbox.configuration import sample_policies
from remit_sandbox.sandbox import Sandbox

PUBLISH = "s3:PutObject=arn:aws:s3:::reports/2026/q3/*"
CATALOGUE = "remit/catalog/entitlements/data.yaml"


class Browser:
    """A person at a browser: opens the address, signs in at the issuer as `user`, reads the page, and answers."""

    def __init__(self, sandbox: Sandbox, user: str, answer: str) -> None:
        self.sandbox, self.user, self.answer = sandbox, user, answer
        self.is_done = False
        self.pages: list[str] = []
        self.overheard: list[httpx.Response] = []
        self.client = httpx.Client(verify=ssl.create_default_context(cafile=sandbox.authority.bundle_path), timeout=60)

    def __call__(self, url: str) -> None:
        time.sleep(1.1)  # a login's time is in whole seconds, and it has to be younger than the request
        with self.client as client:
            sent = client.get(url)
            assert sent.status_code == 303
            login = sent.headers["location"]
            assert "prompt=login" in login
            form = {"user": self.user, "password": self.sandbox.issuer.password, "answer": "allow"}
            back = client.post(login, data=form)
            page = client.get(back.headers["location"], follow_redirects=True)
            self.pages.append(page.text)
            self.overheard += self.what_another_port_makes_of(client, url, str(page.url))
            found = re.search(r'action="([^"]+)"><input type="hidden" name="form" value="([^"]+)"', page.text)
            if found is not None:
                self.decides(client, page, *found.groups())
        self.is_done = True

    def decides(self, client: httpx.Client, page: httpx.Response, action: str, form: str) -> None:
        """Sends the form as browsers do: with the origin that the page's referrer policy lets them tell."""
        origin = "null" if page.headers["referrer-policy"] == "no-referrer" else str(page.url.join("/"))[:-1]
        data = {"form": form, "answer": self.answer}
        from_elsewhere = client.post(page.url.join(action), data=data, headers={"Origin": "http://127.0.0.1:1"})
        self.overheard.append(from_elsewhere)
        decided = client.post(page.url.join(action), data=data, headers={"Origin": origin})
        self.pages.append(decided.text)
        self.overheard.append(client.post(page.url.join(action), data=data, headers={"Origin": origin}))

    def what_another_port_makes_of(self, client: httpx.Client, url: str, opened: str) -> list[httpx.Response]:
        """Opens both addresses with the cookies of this host, which the browser sends to every port of it."""
        cookies = "; ".join(f"{one.name}={one.value}" for one in client.cookies.jar if one.domain == "127.0.0.1")
        return [httpx.get(address, headers={"Cookie": cookies}, timeout=60) for address in (url, opened)]


@pytest.fixture(scope="module")
def gateway(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnGateway]:
    """A gateway whose policy lets the user confirm in person what people of security approve otherwise."""
    folder = tmp_path_factory.mktemp("confirming")
    with own_gateway(sandbox, folder, {"bundle": str(policies_in_person(folder))}) as own:
        yield own


def policies_in_person(folder: Path) -> Path:
    """Writes the sample policy, by which the user confirms in person what others approve otherwise."""
    text = (sample_policies() / CATALOGUE).read_text()
    said = "approval: {groups: [security], by: others, min_approvers: 1, valid_seconds: 600}"
    assert said in text
    inperson = text.replace(said, "approval: {groups: [], by: subject, min_approvers: 1, valid_seconds: 600}")
    return sample_with(folder / "policies", "confirmed in person", {CATALOGUE: inperson})


@pytest.fixture
def mine(sandbox: Sandbox, gateway: OwnGateway, tmp_path: Path, alice_token: str) -> Machine:
    tables = (
        f'[mcp.confirm]\ngateway = "{gateway.bearer}"\n'
        f'[mcp.confirm.login]\nissuer = "{sandbox.issuer.url}"\nclient_id = "remit-operators"\n'
        f'ca_file = "{sandbox.authority.bundle_path}"\n'
    )
    return machine(sandbox, tmp_path, alice_token, target=gateway.mtls, profiles=PROFILES + tables)


def answering(browser: Callable[[str], None] | None, seen: list[ElicitRequestURLParams]) -> Any:
    """Returns what an MCP client does when it is asked: opens the address, or declines without a browser."""

    async def answer(_: Any, params: Any) -> ElicitResult:
        assert isinstance(params, ElicitRequestURLParams)
        seen.append(params)
        if browser is None:
            return ElicitResult(action="decline")
        browser(params.url)
        return ElicitResult(action="accept")

    return answer


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_what_the_user_confirms_on_the_page_is_granted(sandbox: Sandbox, mine: Machine, mode: str) -> None:
    browser, seen = Browser(sandbox, "alice", "yes"), list[ElicitRequestURLParams]()
    async with copilot(mine, mode=mode, elicitation_callback=answering(browser, seen)) as client:
        good, access, text = await asked(client, "request_aws_access", purpose="publish Q3", allow=[PUBLISH])

    assert good, text
    assert len(seen) == 1
    assert seen[0].url.startswith("http://127.0.0.1:")
    question, decided = browser.pages
    assert "s3:PutObject" in question
    assert "publish Q3" in question
    assert "allowed" in decided
    assert access["profile"].startswith("remit-")


async def test_only_the_page_that_was_shown_decides_and_only_once(sandbox: Sandbox, mine: Machine) -> None:
    browser = Browser(sandbox, "alice", "yes")
    async with copilot(mine, elicitation_callback=answering(browser, [])) as client:
        good, _, text = await asked(client, "request_aws_access", purpose="publish Q3", allow=[PUBLISH])

    other_port, reopened, from_elsewhere, again = browser.overheard
    assert good, text
    assert other_port.status_code == 303
    assert "prompt=login" in other_port.headers["location"]
    assert reopened.status_code == 400
    assert from_elsewhere.status_code == 403
    assert again.status_code == 403


async def test_what_the_user_refuses_on_the_page_is_refused(sandbox: Sandbox, mine: Machine) -> None:
    browser = Browser(sandbox, "alice", "no")
    async with copilot(mine, elicitation_callback=answering(browser, [])) as client:
        good, problem, _ = await asked(client, "request_aws_access", purpose="publish Q3", allow=[PUBLISH])

    assert not good
    assert problem["reason"] == "APPROVAL_REFUSED"


@pytest.mark.parametrize(("user", "sees_it"), [("mallory", False), ("bob", True)], ids=["a stranger", "security"])
async def test_nobody_else_confirms_it(sandbox: Sandbox, mine: Machine, user: str, *, sees_it: bool) -> None:
    browser = Browser(sandbox, user, "yes")
    async with copilot(mine, elicitation_callback=answering(browser, [])) as client:
        asking = asyncio.create_task(asked(client, "request_aws_access", purpose="publish Q3", allow=[PUBLISH]))
        await until(lambda: browser.is_done or asking.done())
        answered, _ = await asyncio.wait([asking], timeout=3)
        asking.cancel()

    assert not answered  # it goes on waiting for alice
    assert "Nothing was decided" in browser.pages[-1]
    assert ("s3:PutObject" in browser.pages[0]) is sees_it


async def test_who_declines_to_go_there_is_granted_nothing(mine: Machine) -> None:
    async with copilot(mine, elicitation_callback=answering(None, [])) as client:
        good, problem, _ = await asked(client, "request_aws_access", purpose="publish Q3", allow=[PUBLISH])

    assert not good
    assert problem["reason"] in {"APPROVAL_DECLINED", "APPROVAL_PENDING"}


async def test_a_client_that_cannot_open_addresses_is_told_how_else(mine: Machine) -> None:
    async with copilot(mine) as client:
        good, problem, _ = await asked(client, "request_aws_access", purpose="publish Q3", allow=[PUBLISH])

    assert not good
    assert (problem["status"], problem["reason"]) == ("pending", "APPROVAL_PENDING")
    assert problem["handle"]
