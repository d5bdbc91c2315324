"""What the tools answer a model: a profile to use, what it may do, and until when. Never a key, never a token."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from mcp_types import CallToolResult, TextContent
from pydantic import BaseModel, Field

from remit.errors import ApprovalPending, NotFound, Refused, Remedy, RemitError
from remit.grant import Identity, WouldIssue, WouldRefuse
from remit.intent import Permission
from remit.intents import text_of
from remit.local.explaining import Explanation
from remit.mcp.desk import Granted
from remit.mcp.profiles import Profiles
from remit.mcp.wording import advice_of

MOST_STOPPED = 5


class Stopped(BaseModel):
    """One permission that was stopped, and by which rule."""

    action: str
    resource: str
    rule: str
    message: str


class Problem(BaseModel):
    """Why there is no yes. `ask_for` lists texts for `allow` that would be granted; `what_to_do` is for the reader."""

    status: Literal["refused", "waiting", "failed"] = "failed"
    reason: str = Field(description="Stable, such as CEILING_EXCEEDED.")
    message: str
    remedy: str = Field(description="NARROW, ASK_APPROVAL, REAUTHENTICATE, SPLIT, RETRY_LATER, CORRECT or GIVE_UP.")
    what_to_do: str = ""
    stopped: list[Stopped] = []
    ask_for: list[str] = Field(default=[], description="Texts for `allow` that would be granted.")
    ask_for_in_parts: list[list[str]] = []
    approval: str | None = Field(default=None, description="What people decide about.")
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
    problem = problem_of(error).model_copy(update={"handle": handle})
    text = str(error).replace(f"what to do: {error.advice}", f"what to do: {problem.what_to_do}")
    if not error.advice and problem.what_to_do:
        text += f"\n  what to do: {problem.what_to_do}"
    text += f"\n  to come back to it: handle={handle}" if handle else ""
    return CallToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content=problem.model_dump(mode="json", exclude_none=True),
        is_error=True,
    )


def problem_of(error: RemitError) -> Problem:
    """Returns what a failure says."""
    told: dict[str, Any] = {
        "reason": error.reason,
        "message": error.message,
        "remedy": (Remedy.CORRECT if isinstance(error, NotFound) else error.remedy).value,
        "what_to_do": advice_of(error),
        "request_id": error.request_id,
    }
    match error:
        case Refused():
            return Problem(
                **told,
                status="refused",
                stopped=[
                    Stopped(action=one.action, resource=one.resource, rule=one.rule, message=one.message)
                    for one in error.failures[:MOST_STOPPED]
                ],
                ask_for=_texts(error.offer),
                ask_for_in_parts=[_texts(part) for part in error.split],
            )
        case ApprovalPending():
            return Problem(**told, status="waiting", approval=error.approval)
        case _:
            return Problem(**told)


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


def _texts(permissions: Iterable[Permission]) -> list[str]:
    return [text_of(one) for one in permissions]
