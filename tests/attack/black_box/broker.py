"""The port through which a broker of AWS credentials is attacked, and the small world that it has to be set up for.

Nothing here knows how a broker is driven. Whoever wants to try another one writes an adapter: a context manager that
takes a `Scene`, sets the broker up for `WORLD` and yields a `Broker` (README.md, "Another broker").
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from tests.fake_sts import Request

from remit_sandbox.certificates import Authority

HOME, PARTNER = "home", "partner"
REGION = "eu-central-1"
HOME_ACCOUNT, PARTNER_ACCOUNT = "111122223333", "444455556666"
HOME_ROLE = f"arn:aws:iam::{HOME_ACCOUNT}:role/remit-reports"
PARTNER_ROLE = f"arn:aws:iam::{PARTNER_ACCOUNT}:role/remit-reports"  # the same name, on purpose
DATA_ROLE = f"arn:aws:iam::{HOME_ACCOUNT}:role/remit-data"
AUDIENCE, OPERATORS = "remit", "remit-operators"


@dataclass(frozen=True, slots=True)
class Agent:
    """A program that asks: `name` is the `sub` of the token that it proves itself by, at the named issuer."""

    name: str
    issuer: str = HOME


COPILOT, CRAWLER, THEIR_COPILOT = Agent("copilot"), Agent("crawler"), Agent("copilot", PARTNER)


@dataclass(frozen=True, slots=True)
class Delegable:
    """What a group's members at one issuer may delegate to some agents, through one role: (actions, resources)."""

    issuer: str
    group: str
    agents: tuple[Agent, ...]
    role: str
    permissions: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class World:
    """Who there is and who may delegate what. An agent's work is handed on from COPILOT to CRAWLER and no further.

    `people` are the groups of each person, by issuer and `sub`. `ceilings` are what each role itself allows.
    """

    delegable: Mapping[str, Delegable]
    people: Mapping[tuple[str, str], tuple[str, ...]]
    ceilings: Mapping[str, tuple[tuple[str, str], ...]]
    longest_seconds: int = 3600
    shortest_seconds: int = 15


WORLD = World(
    delegable={
        "home-reader": Delegable(
            HOME,
            "analysts",
            (COPILOT, CRAWLER),
            HOME_ROLE,
            (
                (("s3:GetObject",), ("arn:aws:s3:::reports/2026/*", "arn:aws:s3:::reports/shared/*")),
                (("s3:ListBucket",), ("arn:aws:s3:::reports",)),
            ),
        ),
        "home-orders": Delegable(
            HOME,
            "engineers",
            (COPILOT,),
            DATA_ROLE,
            ((("dynamodb:GetItem",), (f"arn:aws:dynamodb:{REGION}:{HOME_ACCOUNT}:table/orders",)),),
        ),
        "partner-reader": Delegable(
            PARTNER,
            "analysts",
            (THEIR_COPILOT,),
            PARTNER_ROLE,
            ((("s3:GetObject",), ("arn:aws:s3:::partner/*", "arn:aws:s3:::reports/shared/*")),),
        ),
    },
    people={
        (HOME, "alice"): ("analysts", "engineers"),
        (HOME, "bob"): ("analysts", "security"),
        (HOME, "mallory"): ("contractors",),
        (PARTNER, "alice"): ("analysts",),
        (PARTNER, "eve"): ("analysts", "engineers", "security"),
    },
    ceilings={
        HOME_ROLE: (("s3:*", "arn:aws:s3:::reports"), ("s3:*", "arn:aws:s3:::reports/*")),
        DATA_ROLE: (("dynamodb:*", f"arn:aws:dynamodb:{REGION}:{HOME_ACCOUNT}:table/*"),),
        PARTNER_ROLE: (("s3:*", "arn:aws:s3:::partner/*"), ("s3:*", "arn:aws:s3:::reports/*")),
    },
)


@dataclass(frozen=True, slots=True)
class Ask:
    """What an agent asks for. `permissions` are (actions, resources); `capabilities` (name, parameters).

    `purpose` and `labels` are its words. `task` and `request_id` are a broker's ids; without one it is a new task, or
    a new request.
    """

    permissions: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    capabilities: tuple[tuple[str, Mapping[str, str]], ...] = ()
    purpose: str = "summarise Q3"
    labels: Mapping[str, str] = field(default_factory=dict)
    seconds: int = 0
    narrow: bool = False
    task: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """Credentials, with the broker's ids of the task and of what was given. `told` is all else that the answer says."""

    task: str
    grant: str
    access_key_id: str
    told: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer without credentials that is no refusal: a preview, an ended task, a task that was handed on."""

    told: str
    task: str = ""


class Why(StrEnum):
    """Kinds of refusal, into which an adapter sorts its broker's own reasons. No attack expects OTHER."""

    MALFORMED = "malformed"
    BEYOND = "beyond"  # more than this person may delegate to this agent, or than anybody may
    TOO_LARGE = "too large"
    NOT_KNOWN = "not known"  # a token that is not valid
    NOT_BOUND = "not bound"  # a token that was given to somebody else
    REPLAYED = "replayed"
    NOT_THERE = "not there"  # also for what is another's
    OVER = "over"
    BUSY = "busy"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Refused:
    """A no: its kind, and all that the broker says about it."""

    why: Why
    told: str = ""


Outcome = Given | Said | Refused


@dataclass(frozen=True, slots=True)
class OnTheWire:
    """A call as gRPC carries it, for attacks below the protocol: its path, its metadata and its message."""

    path: str
    metadata: Sequence[tuple[str, str]]
    message: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the audit trail, as an adapter translates it; `told` is all of it, as the broker wrote it.

    `given` marks the one record, of each new session that was asked for by `exchange`, which says that it may be had.
    That one names the account of its role and the person, by the `sub` and the issuer's URL of the person's token; an
    adapter leaves these three empty in all others. `kind` is the broker's own word, which no attack reads.
    """

    kind: str
    told: str
    given: bool = False
    account: str = ""
    user: str = ""
    issuer: str = ""


class Unsupported(Exception):  # noqa: N818 - an outcome
    """A broker has no such verb: the test that tries it is skipped, and says which verb it was."""

    def __init__(self, verb: str) -> None:
        super().__init__(f"this broker has no verb {verb}")


class Broker(Protocol):
    """A running broker: ten verbs, each of which may raise `Unsupported` with its own name. Refusals are values.

    `exchange` to `decision` are an agent's calls with its own token, `revoke` and `audit` the security team's.

    `address` and `process` (an id; 0 for none) are for attacks below its protocol: an HTTP/2 port with TLS, and whose
    memory it is.
    """

    address: str
    process: int

    def exchange(self, agent: Agent, subject_token: str, ask: Ask) -> Outcome:
        """Asks for credentials."""
        ...

    def on_the_wire(self, agent: Agent, subject_token: str, ask: Ask) -> OnTheWire:
        """Returns what `exchange` would send."""
        ...

    def preview(self, agent: Agent, subject_token: str, ask: Ask) -> Outcome:
        """Asks what would be given."""
        ...

    def renew(self, agent: Agent, subject_token: str, grant: str, seconds: int = 0) -> Outcome:
        """Asks for new credentials of what was given."""
        ...

    def part(self, agent: Agent, grant: str, ask: Ask) -> Outcome:
        """Asks for credentials of a part of what was given."""
        ...

    def hand_on(self, agent: Agent, task: str, to: Agent) -> Outcome:
        """Hands a task on to another agent."""
        ...

    def end(self, agent: Agent, task: str) -> Outcome:
        """Ends a task."""
        ...

    def decision(self, agent: Agent, request_id: str) -> Outcome:
        """Asks what a request came to."""
        ...

    def revoke(self, task: str) -> None:
        """Revokes a task, as the security team does."""
        ...

    def audit(self) -> Sequence[Record]:
        """Returns every record of the audit trail, in order: one at least for each agent's call but `decision`."""
        ...


@dataclass(frozen=True, slots=True)
class Scene:
    """What a broker finds: identity providers by name (their URLs), an STS with the world's roles, certificates.

    `token` signs: `token(issuer, claims)`. A broker reaches STS at `sts_url` with the keys of `tests.fake_sts`.
    """

    folder: Path
    authority: Authority
    issuers: Mapping[str, str]
    sts_url: str
    token: Callable[[str, Mapping[str, object]], str]
    sts_log: Callable[[], Sequence[Request]]

    def of_agent(self, agent: Agent) -> str:
        """Returns the token by which an agent proves itself."""
        return self.token(agent.issuer, {"sub": agent.name, "client_id": agent.name, "azp": agent.name})

    def of_user(self, user: str, agent: Agent = COPILOT, issuer: str = "", **claims: object) -> str:
        """Returns a person's token, given to this agent, by the agent's issuer unless another is named."""
        issuer = issuer or agent.issuer
        groups = list(WORLD.people.get((issuer, user), ()))
        return self.token(issuer, {"sub": user, "azp": agent.name, "groups": groups, **claims})

    def of_operator(self, user: str) -> str:
        """Returns the token by which a person of `home` acts on the security side."""
        groups = list(WORLD.people[HOME, user])
        return self.token(HOME, {"sub": user, "aud": OPERATORS, "azp": OPERATORS, "groups": groups})


StartBroker = Callable[[Scene], AbstractContextManager[Broker]]
