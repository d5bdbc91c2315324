"""What agents do, well and badly: every method of theirs, with every kind of answer."""

from functools import partial
from typing import Any

import grpc
from tests.e2e.canaries.journey import CANARY, Journey
from tests.e2e.canaries.loudly.loud import INJECTED
from tests.e2e.gateways import Q3, client, issue_request, raw_stub

import remit
from remit.frameworks import RunTask
from remit.frameworks.core.answers import answer_to
from remit.v1 import credential_service_pb2 as messages
from remit.v1 import types_pb2

EVERYTHING = remit.Permission("s3:GetObject", "arn:aws:s3:::reports/*")
PRODUCTION = remit.Capability("s3.delete_object", bucket="production", key="orders/2026-11-23.parquet")
AN_ANSWER = 30


def issued_and_used(journey: Journey, gateway: remit.Gateway) -> None:
    """Everything goes well."""
    with gateway.task("summarise Q3", subject_token=journey.token(), allow=Q3) as task:
        credentials = task.credentials()
        journey.holds(credentials)
        session = task.boto3_session()
        s3 = session.client("s3", endpoint_url=journey.sandbox.aws.endpoint_url)
        s3.get_object(Bucket="reports", Key="2026/q3/summary.md")["Body"].read()
        s3.close()
        journey.shows(gateway, task, task.grant, credentials, session, session.get_credentials(), task._keyring)
    journey.shows(gateway.task("summarise Q3", subject_token=journey.token(), allow=Q3))
    journey.shows(gateway.preview("look", subject_token=journey.token(), allow=Q3))


def renewed(journey: Journey, gateway: remit.Gateway) -> None:
    """A grant is renewed, and not renewed, and its task is watched."""
    block = gateway.task("summarise Q3", subject_token=journey.token(), allow=Q3)
    with block as task, raw_stub(journey.sandbox, journey.own.mtls, journey.sandbox.agents["copilot"]) as stub:
        journey.holds(task.credentials())
        ask = partial(messages.RenewCredentialsRequest, name=task.grant.name)
        journey.holds(stub.RenewCredentials(ask(subject_token=journey.token()), timeout=AN_ANSWER).credentials)
        for token in ("", journey.secret(CANARY, "a canary"), journey.tampered(), journey.token(client_id="crawler")):
            journey.fails(partial(stub.RenewCredentials, ask(subject_token=token), timeout=AN_ANSWER))
        stream = stub.WatchTask(messages.WatchTaskRequest(task_id=task.id), timeout=AN_ANSWER)
        journey.shows(next(stream))
        stream.cancel()
        journey.fails(lambda: next(stub.WatchTask(messages.WatchTaskRequest(task_id="a" * 26), timeout=AN_ANSWER)))


def attenuated(journey: Journey, gateway: remit.Gateway) -> None:
    """A part of a task is given and refused; somebody asks who they are, and what a request came to."""
    with gateway.task("summarise Q3", subject_token=journey.token(), allow=Q3) as task:
        part = task.attenuate(Q3)
        journey.holds(part.credentials())
        session = part.boto3_session()
        journey.shows(part, part.grant, part.credentials(), session, session.get_credentials(), part._keyring)
        journey.fails(partial(task.attenuate, EVERYTHING))
    journey.shows(gateway.whoami(journey.token()), gateway.whoami())
    for token in (journey.secret(CANARY, "a canary"), journey.tampered(), journey.token(client_id="crawler")):
        journey.fails(partial(gateway.whoami, token))
        journey.fails(partial(gateway.preview, "look", subject_token=token, allow=Q3))
    journey.fails(partial(gateway.explain, "4c1b7d52-3f0e-4a4e-9a3a-0f5f4e0c2b11"))


def handed_on(journey: Journey, gateway: remit.Gateway) -> None:
    """A task is handed on to another agent, which works in it, and asks for more than there is."""
    crawler = journey.sandbox.agents["crawler"]
    with (
        gateway.task("summarise Q3", subject_token=journey.token(), allow=Q3) as task,
        client(journey.sandbox, journey.own.mtls, crawler) as below,
    ):
        handed = task.delegate("spiffe://remit.sandbox/agent/crawler", purpose="read one")
        journey.shows(handed)
        own = partial(journey.token, client_id="crawler")
        with below.task("read one", subject_token=own(), allow=Q3, task_id=handed) as under:
            journey.holds(under.credentials())
            journey.shows(under)
        journey.fails(below.task("x", subject_token=own(), allow=EVERYTHING, task_id="a" * 26).__enter__)
        journey.fails(partial(task.delegate, journey.token()[:200], purpose="read one"), misused=True)


def refused(journey: Journey, gateway: remit.Gateway) -> None:
    """Policy, ceiling, floor and identity say no, and what is asked for is too large."""
    for allow in (EVERYTHING, PRODUCTION, remit.Permission("iam:*", "*")):
        journey.fails(gateway.task("x", subject_token=journey.token(), allow=allow).__enter__)
    large = [remit.Permission("s3:GetObject", f"arn:aws:s3:::reports/2026/{n:03}-{'y' * 60}/*") for n in range(45)]
    journey.fails(gateway.task("x", subject_token=journey.token(), allow=large).__enter__)
    good = journey.token()
    wrong = [
        journey.token(client_id="crawler"),
        journey.tampered(),
        journey.token(audience="elsewhere"),
        journey.token(exp=1),
        journey.token(iss="https://elsewhere.example"),
        journey.secret(CANARY, "a canary"),
        journey.secret(CANARY * 400, "a canary"),
        f"{good}\n{CANARY}",
    ]
    for token in wrong:
        journey.fails(gateway.task("x", subject_token=token, allow=Q3).__enter__)


def rejected(journey: Journey, _: remit.Gateway) -> None:
    """The bearer listener lets nobody in, or policy refuses who is in."""
    own = journey.secret(journey.sandbox.issuer.agent_token("reporter"), "an agent's token")
    user = journey.token("bob", client_id="reporter")
    over = journey.secret(journey.sandbox.issuer.agent_token("reporter", exp=1), "an agent's token")
    for bearer in (own, over, user, journey.secret(f"bearer-{CANARY}", "a canary"), f"{own}\n{CANARY}"):
        with client(journey.sandbox, journey.own.bearer, bearer_token=bearer) as gateway:
            journey.fails(gateway.task("x", subject_token=user, allow=Q3).__enter__)
            journey.shows(gateway)


def misplaced(journey: Journey, gateway: remit.Gateway) -> None:
    """Tokens stand where no token belongs, and messages are none."""
    token = journey.token()
    ask = partial(gateway.task, "x", subject_token=token)
    for block in (
        ask(allow=Q3, request_id=token),
        ask(allow=Q3, task_id=token),
        ask(allow=Q3, labels={token[:60]: "x"}),
    ):
        journey.fails(block.__enter__, misused=True)
    journey.fails(partial(gateway.explain, token), misused=True)
    values = {"bucket": token[:500], "prefix": token[:500]}
    wrong: list[dict[str, Any]] = [
        {"request_id": token},
        {"task_id": token},
        {"intent": types_pb2.TaskIntent(capabilities=[types_pb2.Capability(name=token[:60].lower())])},
        {"intent": types_pb2.TaskIntent(capabilities=[types_pb2.Capability(name=Q3.name, parameters=values)])},
    ]
    with raw_stub(journey.sandbox, journey.own.mtls, journey.sandbox.agents["copilot"]) as stub:
        for fields in wrong:
            journey.fails(partial(stub.IssueCredentials, issue_request(token, **fields), timeout=AN_ANSWER))
        request = issue_request(token)
        raw = request.SerializeToString()
        for broken in (raw[:-7], raw + b"\xff\xff", raw + b"\xba\x3e" + bytes([len(b"extra")]) + b"extra"):
            journey.fails(partial(_sent, journey, broken))


def _sent(journey: Journey, raw: bytes) -> None:
    """Sends bytes in place of a message."""
    pair, authority = journey.sandbox.agents["copilot"], journey.sandbox.authority.bundle_path
    credentials = grpc.ssl_channel_credentials(
        authority.read_bytes(), pair.key_path.read_bytes(), pair.certificate_path.read_bytes()
    )
    with grpc.secure_channel(journey.own.mtls, credentials) as channel:
        call: Any = channel.unary_unary("/remit.v1.CredentialService/IssueCredentials")
        call(raw, timeout=AN_ANSWER)


def failed_inside(journey: Journey, gateway: remit.Gateway) -> None:
    """Something goes wrong in the gateway that nobody thought of, with a token in a variable."""
    journey.fails(gateway.task(INJECTED, subject_token=journey.token(), allow=Q3).__enter__)
    journey.fails(partial(gateway.preview, INJECTED, subject_token=journey.token(), allow=Q3))


def hung_up(journey: Journey, _: remit.Gateway) -> None:
    """The agent goes while STS is asked, or has no time for the answer."""
    with raw_stub(journey.sandbox, journey.own.mtls, journey.sandbox.agents["copilot"]) as stub:
        journey.relay.hold_after(0)
        running = stub.IssueCredentials.future(issue_request(journey.token()), timeout=AN_ANSWER)
        journey.relay.wait_until_held(1)
        running.cancel()
        journey.fails(partial(stub.IssueCredentials, issue_request(journey.token()), timeout=0.5))
        journey.relay.release()


def in_frameworks(journey: Journey, gateway: remit.Gateway) -> None:
    """A model's tool is refused, and is told so; a tool gives the keys away and is stopped."""
    with RunTask(gateway, "q3", subject_token=journey.token(), allow=[Q3], at_most=["read s3://reports/*"]) as aws:
        for allow in (["s3:GetObject=arn:aws:s3:::reports/*"], ["iam:*=*"], [journey.token()[:300]]):
            try:
                journey.shows(aws.request(allow, "because"))
            except remit.RemitError as error:
                journey.shows_failure(error, misused=True)
                journey.shows(answer_to(error))


def not_reached(journey: Journey, _: remit.Gateway) -> None:
    """There is no gateway, or it is another one."""
    token = journey.token()
    with client(journey.sandbox, "127.0.0.1:1", timeout=1) as gateway:
        journey.fails(gateway.task("x", subject_token=token, allow=Q3).__enter__)
