"""Functions that work on AWS as tools: the model sees their own parameters, the run's task gives them a session."""

import asyncio
import functools
import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, get_origin, get_type_hints

from remit.calling.ask import Allow
from remit.frameworks.core.answers import Answer, answer_to
from remit.frameworks.core.guard import LEAKED, Guard
from remit.frameworks.core.run_task import RunTask

SESSION, RUN = "session", "aws"
Need = Allow | Callable[..., Allow] | None


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


def tool_function(
    framework: Framework, function: Callable[..., Any], *, allow: Need = None, duration: timedelta | float | None = None
) -> Callable[..., Any]:
    """Returns the function as the framework takes it: with its context in place of `session` and `aws`.

    The function says by its parameters' names what it is given: `session`, a boto3 session for this call, and `aws`,
    the RunTask itself; a parameter of the framework's context type gets that. `allow`, or a function of some of the
    tool's parameters that returns it, says what the one call needs: its session then holds that and no more, and ends
    with the call, or after `duration` (seconds; 60 unless said).
    Raises TypeError for a function that takes neither, and for kinds of functions that are no tools.
    """
    _check(function)
    _check_need(allow, function)
    call = _Call(framework, function, allow, duration, _shape_of(framework, function))
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
    allow: Need
    duration: timedelta | float | None
    shape: _Shape

    def worked(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Calls a plain function."""
        run, own = self._read(arguments, named)
        guard = Guard()
        try:
            result = self.function(**self._given(run, own, guard))
        except Exception as error:
            answer = self._answer(error, run, guard)
            if answer is None:
                raise
            return self.framework.answered(answer)
        else:
            return self._guarded(result, guard)
        finally:
            guard.forget()

    async def waited(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Calls a coroutine function; the gateway is asked in a thread, not on the loop."""
        run, own = self._read(arguments, named)
        guard = Guard()
        try:
            result = await self.function(**await asyncio.to_thread(self._given, run, own, guard))
        except Exception as error:
            answer = self._answer(error, run, guard)
            if answer is None:
                raise
            return self.framework.answered(answer)
        else:
            return self._guarded(result, guard)
        finally:
            guard.forget()

    def _read(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[RunTask, dict[str, Any]]:
        """Parts the framework's context from the call's own arguments."""
        bound = self.shape.signature.bind(*arguments, **named)
        bound.apply_defaults()
        own = dict(bound.arguments)
        context = own.pop(self.framework.context)
        if self.shape.context_as is not None:
            own[self.shape.context_as] = context
        return run_task_of(self.framework.places(context)), own

    def _given(self, run: RunTask, own: dict[str, Any], guard: Guard) -> dict[str, Any]:
        """Returns all that the function takes; raises RemitError where the call gets no credentials."""
        given = dict(own)
        if self.shape.takes_session:
            given[SESSION] = guard.session(run, self._need(own), self.duration)
        if self.shape.takes_run:
            guard.watch(run)
            given[RUN] = run
        return given

    def _need(self, own: dict[str, Any]) -> Allow | None:
        """Returns what this very call needs; None for all that the run holds."""
        if not callable(self.allow):
            return self.allow
        return self.allow(**{name: own[name] for name in inspect.signature(self.allow).parameters})

    def _answer(self, error: Exception, run: RunTask, guard: Guard) -> Answer | None:
        """Returns what the model is told about an error; None for one that is none of ours, and is left alone."""
        answer = answer_to(error, run, guard.need)
        if answer is None and guard.finds_keys_in(str(error)):  # frameworks show the text of errors to the model
            return LEAKED
        return answer

    def _guarded(self, result: Any, guard: Guard) -> Any:
        """Returns the result, unless it would show keys to the model."""
        return self.framework.answered(LEAKED) if guard.finds_keys_in(result) else result


def _check(function: Callable[..., Any]) -> None:
    """Refuses what is no function of named parameters that ends."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function.__name__} yields: a tool on AWS is a function that returns, within its session")
    kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
    if kinds - {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}:
        raise TypeError(f"{function.__name__}: each parameter of a tool has a name, without * and /")


def _check_need(allow: Need, function: Callable[..., Any]) -> None:
    """Refuses a need that is worked out of what the tool does not take."""
    known = inspect.signature(function).parameters.keys()
    unknown = inspect.signature(allow).parameters.keys() - known if callable(allow) else set()
    if unknown or (allow is not None and SESSION not in known):
        wrong = f"`{min(unknown)}`" if unknown else "`session`"
        raise TypeError(f"{function.__name__} has an `allow`, but no parameter {wrong}")


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
