"""Functions that work on AWS as tools: the model sees their own parameters, the run's task gives them a session."""

import asyncio
import contextlib
import functools
import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_origin, get_type_hints
from urllib.parse import quote

from remit.errors import RemitError
from remit.frameworks.core.answers import Answer, answer_to, text_of_answer, texts_of
from remit.frameworks.core.run_task import RunTask
from remit.grant import Credentials

SESSION, RUN = "session", "aws"
LEAKED: Answer = {
    "status": "withheld",
    "reason": "KEYS_IN_RESULT",
    "message": "the tool's result held the task's AWS keys, a pre-signed URL for instance, and was kept from the model",
    "remedy": "GIVE_UP",
    "ways": {"give_up": "tell the user what could not be done and why"},
}


@dataclass(frozen=True, slots=True)
class Framework:
    """What a framework needs: its context's type, where in it the run's task is, how it takes an answer.

    `context` names the parameter by which it hands its context over; `threaded` says that it calls plain functions on
    the event loop, which AWS calls would hold up.
    """

    context: str
    context_type: Any
    places: Callable[[Any], Iterable[Any]]
    answered: Callable[[Answer], Any]
    threaded: bool = False


def tool_function(framework: Framework, function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function as the framework takes it: with its context in place of `session` and `aws`.

    The function says by its parameters' names what it is given: `session`, a boto3 session for this call, and `aws`,
    the RunTask itself; a parameter of the framework's context type gets that.
    Raises TypeError for a function that takes neither, and for kinds of functions that are no tools.
    """
    _check(function)
    call = _Call(framework, function, _shape_of(framework, function))
    if inspect.iscoroutinefunction(function):

        async def tool(*arguments: Any, **named: Any) -> Any:
            return await call.waited(arguments, named)

        made: Callable[..., Any] = tool
    elif framework.threaded:

        async def threaded(*arguments: Any, **named: Any) -> Any:
            return await asyncio.to_thread(call.worked, arguments, named)

        made = threaded
    else:

        def plain(*arguments: Any, **named: Any) -> Any:
            return call.worked(arguments, named)

        made = plain
    functools.update_wrapper(made, function)
    del made.__wrapped__  # type: ignore[attr-defined]  # frameworks would look at the function's own parameters
    made.__signature__ = call.shape.signature  # type: ignore[attr-defined]
    made.__annotations__ = call.shape.annotations
    return made


def run_task_of(places: Iterable[Any]) -> RunTask:
    """Returns the run's task, or the one that the run's own context keeps as `aws`; RuntimeError for none."""
    for place in places:
        held = place.get(RUN) if isinstance(place, Mapping) else getattr(place, RUN, None)
        for found in (place, held):
            if isinstance(found, RunTask):
                return found
    raise RuntimeError(
        "this run was given no RunTask: enter one around the run and hand it over as its context, "
        "`with RunTask(...) as aws:`; see docs/frameworks.md"
    )


@dataclass(frozen=True, slots=True)
class _Shape:
    """How a tool is called: its parameters for the framework, and what its function is given besides."""

    signature: inspect.Signature
    annotations: dict[str, Any]
    context_as: str | None
    takes_session: bool
    takes_run: bool


@dataclass(frozen=True, slots=True)
class _Call:
    """One tool's way through: find the task, get a session, do the work, answer what went wrong."""

    framework: Framework
    function: Callable[..., Any]
    shape: _Shape

    def worked(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Calls a plain function."""
        run, own = self._read(arguments, named)
        guard = _Guard()
        try:
            result = self.function(**self._given(run, own, guard))
        except Exception as error:
            answer = self._answer(error, run, guard)
            if answer is None:
                raise
            return self.framework.answered(answer)
        return self._guarded(result, guard)

    async def waited(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Calls a coroutine function; the gateway is asked in a thread, not on the loop."""
        run, own = self._read(arguments, named)
        guard = _Guard()
        try:
            result = await self.function(**await asyncio.to_thread(self._given, run, own, guard))
        except Exception as error:
            answer = self._answer(error, run, guard)
            if answer is None:
                raise
            return self.framework.answered(answer)
        return self._guarded(result, guard)

    def _read(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[RunTask, dict[str, Any]]:
        """Parts the framework's context from the call's own arguments."""
        bound = self.shape.signature.bind(*arguments, **named)
        bound.apply_defaults()
        own = dict(bound.arguments)
        context = own.pop(self.framework.context)
        if self.shape.context_as is not None:
            own[self.shape.context_as] = context
        return run_task_of(self.framework.places(context)), own

    def _given(self, run: RunTask, own: dict[str, Any], guard: "_Guard") -> dict[str, Any]:
        """Returns all that the function takes; raises RemitError where the call gets no credentials."""
        given = dict(own)
        if self.shape.takes_session:
            given[SESSION] = guard.session(run)
        if self.shape.takes_run:
            given[RUN] = run
        return given

    def _answer(self, error: Exception, run: RunTask, guard: "_Guard") -> Answer | None:
        """Returns what the model is told about an error; None for one that is none of ours, and is left alone."""
        answer = answer_to(error, run)
        if answer is None and guard.finds_keys_in(str(error)):  # frameworks show the text of errors to the model
            return LEAKED
        return answer

    def _guarded(self, result: Any, guard: "_Guard") -> Any:
        """Returns the result, unless it would show keys to the model."""
        return self.framework.answered(LEAKED) if guard.finds_keys_in(result) else result


class _Guard:
    """Knows the keys that one call works with, and finds them in what it hands back."""

    def __init__(self) -> None:
        self._holder: Any = None
        self._known: set[str] = set()

    def session(self, run: RunTask) -> Any:
        """Returns the session for a call."""
        self._holder = run.task()
        self._note()
        return run.session_of(self._holder)

    def finds_keys_in(self, value: Any) -> bool:
        """Says whether the value shows a secret key or a session token, as it is or as URLs write it."""
        if self._holder is None:
            return False
        with contextlib.suppress(RemitError):
            self._note()  # they may have been renewed meanwhile
        text = value if isinstance(value, str) else repr(value)
        return any(key in text for key in self._known)

    def _note(self) -> None:
        """Remembers the keys as they are now."""
        keys: Credentials = self._holder.credentials()
        for key in (keys.secret_access_key, keys.session_token):
            self._known |= {key, quote(key, safe=""), quote(key)}


def _check(function: Callable[..., Any]) -> None:
    """Refuses what is no function of named parameters that ends."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function.__name__} yields: a tool on AWS is a function that returns, within its session")
    kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
    if kinds - {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}:
        raise TypeError(f"{function.__name__}: each parameter of a tool has a name, without * and /")


def _shape_of(framework: Framework, function: Callable[..., Any]) -> _Shape:
    """Works out how the framework will see the function."""
    parameters = inspect.signature(function).parameters
    if not {SESSION, RUN} & parameters.keys():
        raise TypeError(f"{function.__name__} takes neither `session`, a boto3 session, nor `aws`, the run's RunTask")
    hints = _hints(function)
    context_as = next((name for name, hint in hints.items() if _is(hint, framework.context_type)), None)
    own = [
        parameter.replace(annotation=hints.get(name, parameter.annotation))
        for name, parameter in parameters.items()
        if name not in {SESSION, RUN, context_as}
    ]
    if any(parameter.name == framework.context for parameter in own):
        raise TypeError(f"{function.__name__}: the name `{framework.context}` is the framework's, choose another")
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    context = inspect.Parameter(framework.context, kind, annotation=framework.context_type)
    signature = inspect.Signature([context, *own], return_annotation=hints.get("return", inspect.Signature.empty))
    annotations = {name: hint for name, hint in hints.items() if name not in {SESSION, RUN, context_as}}
    return _Shape(
        signature=signature,
        annotations={framework.context: framework.context_type, **annotations},
        context_as=context_as,
        takes_session=SESSION in parameters,
        takes_run=RUN in parameters,
    )


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Returns the types of the parameters; those of `session` and `aws` may be names that only a type checker knows."""
    shown = {name: hint for name, hint in function.__annotations__.items() if name not in {SESSION, RUN}}
    stand_in = types.SimpleNamespace(__annotations__=shown)
    return get_type_hints(stand_in, globalns=function.__globals__, include_extras=True)


def _is(hint: Any, context_type: Any) -> bool:
    return hint is context_type or get_origin(hint) is (get_origin(context_type) or context_type)


def request_aws_access(aws: RunTask, allow: list[str], why: str = "") -> str:
    """Asks for more AWS access for this task. Use it when a tool's result says that AWS access was refused or denied.

    The answer says what was granted; after that call the tool again. An empty list tells what may be asked for.

    Args:
        allow: What is needed, each as ACTION=RESOURCE, for example s3:GetObject=arn:aws:s3:::reports/2026/*, or an
            offer's text as it stands. Ask for as little as the work needs.
        why: One sentence on what it is needed for, for the people who may have to approve it.
    """
    if not allow:
        return text_of_answer({"status": "nothing asked", "may_ask_at_most": texts_of(aws.may_ask)})
    held = aws.holds
    task = aws.request(allow, why)
    lost = [item for item in held if item not in aws.holds]
    told: Answer = {"status": "granted", "allow": texts_of(aws.holds), "until": task.grant.expire_time.isoformat()}
    if lost:
        told["no_more"] = texts_of(lost)
        told["message"] = "one set of credentials cannot hold both: ask again for what is no more when it is needed"
    return text_of_answer(told)
