"""The five tools, as a model sees them: what they take, what they answer, and never a key."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, TypeVar

import anyio
import anyio.to_thread
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import CallToolResult, InputRequiredResult, ToolAnnotations
from pydantic import BeforeValidator, Field

from remit.errors import ApprovalPending, GatewayFailure, RemitError
from remit.local.broker import Held
from remit.local.wishes import Caller, Options
from remit.mcp import answers
from remit.mcp.answers import Access, bad, good
from remit.mcp.confirming import Confirmation, asked_of_the_user, is_declined
from remit.mcp.desk import Desk, Granted, Owner
from remit.mcp.profiles import Profiles

R = TypeVar("R")
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 10.0  # seconds between asking again while people decide
LONGEST_WAIT: Final = 900
_log = logging.getLogger("remit.mcp")

Purpose = Annotated[
    str, Field(description="What the task is about, in a sentence for people; it never decides.", max_length=512)
]
Allow = Annotated[
    list[str],
    Field(
        description=(
            "What the task needs, and no more. Each is one of: `read s3://bucket/prefix/*`, a capability such as "
            "`s3.read_prefix bucket=reports prefix=2026/q3/`, or actions and ARNs: "
            "`s3:GetObject=arn:aws:s3:::reports/*`."
        ),
        min_length=1,
        max_length=50,
    ),
    BeforeValidator(lambda told: [told] if isinstance(told, str) else told),  # models do give one text for a list
]
Duration = Annotated[
    int | None,
    Field(description="Seconds that it should last (15 or more). Left out: renewed until the task ends."),
]
Narrow = Annotated[bool, Field(description="True: get the largest part that may be had instead of a refusal.")]
Handle = Annotated[str, Field(description="The handle that request_aws_access gave.", max_length=64)]


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools over one desk. `who` says on whose behalf a call comes, and on whose settings it asks the gateway."""

    desk: Desk
    profiles: Profiles
    who: Callable[[], tuple[Owner, Caller]]
    confirmation: Confirmation | None = None

    def offer(self, server: MCPServer[Any]) -> None:
        """Registers the tools."""
        reads = ToolAnnotations(read_only_hint=True, open_world_hint=True)
        changes = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=True)
        ends = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True)
        server.add_tool(self.request_aws_access, annotations=changes, title="Request AWS access for a task")
        server.add_tool(self.preview_aws_access, annotations=reads, title="See what would be granted")
        server.add_tool(self.explain_denial, annotations=reads, title="Explain a denial")
        server.add_tool(self.end_task, annotations=ends, title="End a task")
        server.add_tool(self.whoami, annotations=reads, title="Who is asking, and what is held")

    async def request_aws_access(  # noqa: PLR0917 - what a model fills in by name
        self,
        purpose: Purpose,
        allow: Allow,
        ctx: Context[Any, Any],
        duration_seconds: Duration = None,
        narrow: Narrow = False,
        labels: Annotated[
            dict[str, str] | None, Field(description="For policies to read, such as ticket=OPS-12.")
        ] = None,
        wait_seconds: Annotated[
            int, Field(description="How long to wait for people to approve, where they have to.", ge=0, le=LONGEST_WAIT)
        ] = 0,
        handle: Annotated[
            str | None, Field(description="Comes back to an earlier request that people had to approve.", max_length=64)
        ] = None,
    ) -> CallToolResult | InputRequiredResult:
        """Gets AWS access for one task, and answers with an AWS profile to use: never with keys.

        Ask for what the task needs and no more. A refusal says what stopped it and, in `offer`, what would be
        granted. End the task with end_task when it is done.
        """
        return await _told(
            self._requested(
                ctx, self._options(purpose, allow, duration_seconds, labels, narrow=narrow), wait_seconds, handle
            )
        )

    async def preview_aws_access(
        self,
        purpose: Purpose,
        allow: Allow,
        duration_seconds: Duration = None,
        narrow: Narrow = False,
        labels: Annotated[dict[str, str] | None, Field(description="As in request_aws_access.")] = None,
    ) -> CallToolResult:
        """Says what request_aws_access would grant or why it would refuse. Nothing is issued."""
        options = self._options(purpose, allow, duration_seconds, labels, narrow=narrow)
        return await _told(self._previewed(options))

    async def explain_denial(
        self,
        denial: Annotated[
            str,
            Field(
                description="An AWS error text (AccessDenied ...), a reason (CEILING_EXCEEDED), or a request id.",
                min_length=1,
                max_length=8192,
            ),
        ],
        handle: Annotated[str | None, Field(description="The task that was refused, if known.", max_length=64)] = None,
    ) -> CallToolResult:
        """Explains why something was denied, whether this task covers it, and what exactly to ask for instead."""
        return await _told(self._explained(denial, handle))

    async def end_task(self, handle: Handle) -> CallToolResult:
        """Ends a task: its credentials stop working, as soon as AWS obeys and by their own end at the latest."""
        return await _told(self._ended(handle))

    async def whoami(self) -> CallToolResult:
        """Says which agent and user the gateway sees, and which tasks are held here."""
        return await _told(self._caller())

    async def _requested(
        self, ctx: Context[Any, Any], options: Options, seconds: float, handle: str | None
    ) -> CallToolResult | InputRequiredResult:
        """Holds the task, waits for people as far as it may, and shows what there is to use."""
        owner, caller = self.who()
        known = handle or ctx.request_state
        held = self.desk.held(owner, known) if known else await _apart(self.desk.wish, owner, caller, options)
        if is_declined(ctx):
            await self._dropped(held)
            return bad(_declined(held))
        try:
            return await self._answered(ctx, held, seconds)
        except BaseException as error:
            # Nobody has the handle of what this call began; what was come back to is kept for the next time.
            if isinstance(error, RemitError) or not known:
                await self._dropped(held)
            raise

    async def _answered(
        self, ctx: Context[Any, Any], held: Held, seconds: float
    ) -> CallToolResult | InputRequiredResult:
        """Returns what there is to use, or what people are asked; asks the user, where only the user may say yes."""
        try:
            return self._access(await self._granted(ctx, held, seconds))
        except ApprovalPending as pending:
            question = await asked_of_the_user(self.confirmation, ctx, held, pending) if pending.by_subject else None
            if isinstance(question, InputRequiredResult):
                return question
            if question is not True:
                return bad(pending, handle=held.handle)
        try:
            return self._access(await self._granted(ctx, held, LONGEST_WAIT))
        except ApprovalPending as pending:
            return bad(pending, handle=held.handle)

    async def _granted(self, ctx: Context[Any, Any], held: Held, seconds: float) -> Granted:
        """Asks, and while people decide asks again for so long; raises ApprovalPending after that, or RemitError."""
        pause = FIRST_PAUSE
        until = anyio.current_time() + seconds
        while True:
            try:
                return await _apart(self.desk.granted, held)
            except ApprovalPending as pending:
                left = until - anyio.current_time()
                if left <= 0:
                    raise
                await ctx.report_progress(seconds - left, seconds, f"waiting for people to approve {pending.approval}")
                await anyio.sleep(min(pause, left))
                pause = min(pause * 1.5, LONGEST_PAUSE)

    async def _dropped(self, held: Held) -> None:
        """Forgets what was not granted; what may have begun goes by its lease where it cannot be ended."""
        self.profiles.drop(held.handle)
        try:
            with anyio.CancelScope(shield=True):  # a call that was cancelled ends what it began
                await _apart(self.desk.end, held)
        except RemitError as error:
            _log.info("a task that was not granted could not be ended (%s); its lease does", error.reason)

    async def _previewed(self, options: Options) -> CallToolResult:
        _, caller = self.who()
        preview = answers.previewed(await _apart(self.desk.preview, caller, options))
        return good(preview, _in_words(preview))

    async def _explained(self, denial: str, handle: str | None) -> CallToolResult:
        owner, caller = self.who()
        explanation = await _apart(self.desk.explain, owner, caller, denial, handle)
        return good(answers.explained(explanation), explanation.text())

    async def _ended(self, handle: str) -> CallToolResult:
        owner, _ = self.who()
        held = self.desk.held(owner, handle)
        self.profiles.drop(held.handle)
        end = await _apart(self.desk.end, held)
        return good(answers.Ended(handle=held.handle, ended=end is not None), "the task is over")

    async def _caller(self) -> CallToolResult:
        owner, caller = self.who()
        identity = await _apart(self.desk.identity, caller)
        tasks = [self._shown(granted) for granted in self.desk.shown(owner)]
        answer = answers.caller_of(identity, caller.settings.gateway.target or "", tasks)
        return good(answer, f"{answer.agent} for {answer.user or 'nobody yet'}; {len(tasks)} tasks are held")

    def _access(self, granted: Granted) -> CallToolResult:
        self.profiles.add(granted.handle, granted.region)
        access = self._shown(granted)
        text = (
            f"granted until {access.expire_time:%H:%M:%S} UTC: use AWS tools with {access.example}; "
            f"when the task is done, end_task with the handle {access.handle}"
        )
        return good(access, text)

    def _shown(self, granted: Granted) -> Access:
        return answers.access_of(granted, self.profiles)

    @staticmethod
    def _options(
        purpose: str, allow: list[str], seconds: int | None, labels: dict[str, str] | None, *, narrow: bool
    ) -> Options:
        return Options(
            purpose=purpose,
            allow=tuple(allow),
            duration=None if seconds is None else f"{seconds}s",
            narrow=narrow,
            labels=labels or {},
        )


def _in_words(preview: answers.Previewed) -> str:
    """Returns a preview in a sentence, for clients that show a model the text only."""
    problem = preview.problem
    if problem is None:
        return "would be granted" + (", once people have approved it" if preview.needs_approval else "")
    offer = f"; ask for {' and '.join(problem.offer)} instead" if problem.offer else ""
    return f"{problem.reason}: {problem.message}{offer}"


async def _apart(call: Callable[..., R], *arguments: Any) -> R:
    """Runs what blocks in a thread."""
    return await anyio.to_thread.run_sync(partial(call, *arguments))


async def _told(answer: Awaitable[R]) -> R | CallToolResult:
    """Returns the answer, or a failure as a result that the model can act on."""
    try:
        return await answer
    except RemitError as error:
        return bad(error)
    except Exception as error:  # noqa: BLE001 - the model is answered, whatever happens
        # NOTE: the text of an error that is not ours may hold anything, a token too; the log gets its type only.
        _log.warning("a tool failed with %s", type(error).__name__)
        return bad(GatewayFailure("remit-mcp failed in a way that it did not foresee", reason="INTERNAL"))


def _declined(held: Held) -> RemitError:
    return ApprovalPending(
        f"the user did not go to confirm “{held.wish.purpose}”, so nothing was granted",
        reason="APPROVAL_DECLINED",
    )
