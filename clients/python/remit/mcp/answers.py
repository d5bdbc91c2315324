"""What the tools answer a model: a profile to use, what it may do, and until when. Never a key, never a token."""

from datetime import datetime
from typing import Literal

from mcp_types import CallToolResult, TextContent
from pydantic import BaseModel, Field

from remit.errors import RemitError
from remit.grant import Identity, WouldIssue, WouldRefuse
from remit.local.explaining import Explanation
from remit.local.refusals import GIVE_UP, shape_of
from remit.mcp.desk import Granted
from remit.mcp.profiles import Profiles
from remit.mcp.wording import advice_of, way_of


class Problem(BaseModel):
    """Why there is no yes, in the shape of docs/refusals.md; `ways` are in the terms of these tools."""

    status: Literal["refused", "pending", "over", "invalid", "unavailable"]
    reason: str = Field(description="Stable, such as CEILING_EXCEEDED.")
    message: str
    remedy: str = Field(description="NARROW, ASK_APPROVAL, REAUTHENTICATE, SPLIT, RETRY_LATER, CORRECT or GIVE_UP.")
    ways: dict[str, str] = Field(description="How to go on: narrow, ask, wait, retry, correct, give_up.")
    stopped: list[str] = Field(default=[], description="Which permission was stopped by which rule.")
    spelling: list[str] = Field(default=[], description="Actions that AWS's reference does not have, and the nearest.")
    offer: list[str] = Field(default=[], description="Texts for `allow` that would be granted.")
    split: list[list[str]] = Field(default=[], description="Texts for `allow`, one list for each request that fits.")
    wrong: list[str] = Field(default=[], description="Which field broke which rule, besides the message.")
    approval: str | None = Field(default=None, description="What people decide about.")
    approvers: str | None = None
    lapses: str | None = Field(default=None, description="When nobody can approve it any more.")
    cause: str | None = Field(default=None, description="Why the gateway ended the task.")
    request_id: str | None = Field(default=None, description="Names this decision for explain_denial.")
    handle: str | None = Field(default=None, description="By what to come back to it.")


class Access(BaseModel):
    """AWS access for one task: what to call tools with, not with what they sign."""

    status: Literal["granted"] = "granted"
    handle: str = Field(description="Names the task for end_task and explain_denial.")
    profile: str = Field(description="The AWS profile whose credentials are this task's.")
    environment: dict[str, str] = Field(description="Variables with which any AWS tool on this machine uses it.")
    example: str
    session_policy: str = Field(description="What it may do at the most, as AWS was told: an IAM policy.")
    expire_time: datetime
    renewed: bool = Field(description="True: renewed by itself until the task ends.")
    role: str
    region: str | None = None


class Previewed(BaseModel):
    """What a request would come to; nothing was issued."""

    would_issue: bool
    needs_approval: bool = False
    role: str | None = None
    session_policy: str | None = None
    expire_time: datetime | None = None
    problem: Problem | None = None


class Explained(BaseModel):
    """What a denial means, and what to do about it."""

    reason: str
    what: str
    why: str = ""
    what_to_do: list[str] = []
    facts: list[str] = []


class Ended(BaseModel):
    """What ending a task did."""

    handle: str
    ended: bool
    credentials_until: datetime | None = None
    refused_at_aws: bool = False


class Caller(BaseModel):
    """Who is calling, for whom, and what is held."""

    agent: str
    user: str | None
    user_issuer: str | None
    groups: list[str]
    login_expire_time: datetime | None
    gateway: str
    policy_revision: str
    tasks: list[Access]


def good(answer: BaseModel, text: str) -> CallToolResult:
    """Returns a tool's yes: the same thing as a sentence and as a value."""
    return CallToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content=answer.model_dump(mode="json", exclude_none=True),
    )


def bad(error: RemitError, *, handle: str | None = None) -> CallToolResult:
    """Returns a failure as a result that the model can act on, worded as the exception is.

    `handle` is by what to come back to a request that people decide about.
    """
    problem, advice = problem_of(error).model_copy(update={"handle": handle}), advice_of(error)
    text = str(error).replace(f"what to do: {error.advice}", f"what to do: {advice}")
    if not error.advice and advice:
        text += f"\n  what to do: {advice}"
    text += f"\n  to come back to it: handle={handle}" if handle else ""
    return CallToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content=problem.model_dump(mode="json", exclude_defaults=True),
        is_error=True,
    )


def problem_of(error: RemitError) -> Problem:
    """Returns what a failure says."""
    advice = advice_of(error)
    return Problem(**shape_of(error), ways={**({way_of(error): advice} if advice else {}), "give_up": GIVE_UP})


def previewed(preview: WouldIssue | WouldRefuse) -> Previewed:
    """Returns what a preview says."""
    match preview:
        case WouldIssue():
            return Previewed(
                would_issue=True,
                needs_approval=preview.needs_approval,
                role=preview.role_arn,
                session_policy=preview.session_policy,
                expire_time=preview.expire_time,
            )
        case WouldRefuse():
            return Previewed(would_issue=False, problem=problem_of(preview.error()))


def access_of(granted: Granted, profiles: Profiles) -> Access:
    """Returns what a model is told of a task that it may use."""
    environment = profiles.environment(granted.handle)
    variables = " ".join(f"{name}={value}" for name, value in environment.items())
    return Access(
        handle=granted.handle,
        profile=profiles.name(granted.handle),
        environment=environment,
        example=f"{variables} aws sts get-caller-identity",
        session_policy=granted.grant.session_policy,
        expire_time=granted.grant.expire_time,
        renewed=granted.renewed,
        role=granted.grant.role_arn,
        region=granted.region,
    )


def explained(explanation: Explanation) -> Explained:
    """Returns what an explanation says."""
    return Explained(
        reason=explanation.reason,
        what=explanation.what,
        why=explanation.why,
        what_to_do=list(explanation.todo),
        facts=list(explanation.more),
    )


def caller_of(identity: Identity, gateway: str, tasks: list[Access]) -> Caller:
    """Returns who calls, for whom, and what is held."""
    return Caller(
        agent=identity.actor,
        user=identity.subject.id if identity.subject else None,
        user_issuer=identity.subject.issuer if identity.subject else None,
        groups=list(identity.groups),
        login_expire_time=identity.subject_token_expire_time,
        gateway=gateway,
        policy_revision=identity.policy_revision,
        tasks=tasks,
    )
