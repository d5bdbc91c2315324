"""An AWS denial compared with what the tasks of this machine may do: whether to ask for more, and how exactly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from remit.errors import RemitError
from remit.intent import Permission
from remit.intents import parse_allow, text_of
from remit.local.explaining.denials import Because, Denial
from remit.local.explaining.explanation import Explanation
from remit.local.explaining.policies import Allowed, allowed

_MOST_SHOWN = 5
_ELSEWHERE = (
    "the role's own policy, the resource's policy or key, or a rule of the organisation: "
    "asking for more here is no help"
)
_WHAT_TO_DO = {
    Because.IDENTITY_POLICY: "the role itself may not do this: ask whoever runs the gateway, more cannot be issued",
    Because.IDENTITY_DENY: (
        "either the task was revoked (`remit whoami` says whether it is live), or the role's own policy denies this: "
        "ask whoever runs the gateway"
    ),
    Because.ELSEWHERE: "ask whoever owns the resource or the organisation's policies: it is not the task's to change",
}


@dataclass(frozen=True, slots=True)
class LiveTask:
    """A task of this machine, with the session policy of its credentials."""

    handle: str
    task_id: str
    purpose: str
    session_policy: str

    @classmethod
    def parse(cls, members: Mapping[str, Any]) -> "LiveTask":
        """Reads what the endpoint tells of a task; raises ValueError."""
        values = [members.get(name) for name in ("handle", "task_id", "purpose", "session_policy")]
        if not all(isinstance(value, str) for value in values):
            raise ValueError("the endpoint told no task")
        return cls(*map(str, values))


def explain_denial(denial: Denial, tasks: Sequence[LiveTask]) -> Explanation:
    """Returns what a denial means, given the tasks that are live on this machine."""
    what = _what(denial)
    if denial.because is Because.OVER:
        return Explanation(
            "CREDENTIALS_OVER",
            "AWS does not know these credentials, or no longer",
            "the task was ended or revoked, its time is over, or a tool kept them longer than they work",
            ("ask for credentials again; `remit whoami` shows which tasks are live",),
        )
    concerned = [task for task in tasks if denial.task_id in {None, task.task_id}]
    # What the task does not hold is asked for, whichever policy was the first to say no.
    if denial.because in _WHAT_TO_DO and (not concerned or _hold(concerned, denial)):
        return _of_another_policy(denial, what, concerned)
    if denial.action is None:
        return _of_unknown_action(what, concerned)
    if not concerned:
        return _without_task(denial, denial.action, what)
    return _compared(denial, denial.action, what, concerned)


def _what(denial: Denial) -> str:
    call = denial.action or (f"the operation {denial.operation}" if denial.operation else "a call")
    return f"AWS refused {call}{f' on {denial.resource}' if denial.resource else ''}"


def _hold(tasks: Sequence[LiveTask], denial: Denial) -> bool:
    """Says whether some task's credentials allow the call, or might."""
    action = denial.action
    return action is None or any(allowed(task.session_policy, action, denial.resource).by for task in tasks)


def _of_another_policy(denial: Denial, what: str, tasks: Sequence[LiveTask]) -> Explanation:
    """Returns what to do about a policy that is named; it may be the task's where the resource is not told."""
    action = denial.action if denial.resource is None else None
    held = [f"the task {task.task_id} may: {line}" for task in tasks for line in _lines(_allowing(task, action))]
    if denial.because is Because.IDENTITY_DENY and not tasks:
        return _of_unknown_deny(denial, what)
    compare = ("compare the resource, which the text does not name, with what the task may do",) if held else ()
    todo = (*compare, f"if it is within: {_WHAT_TO_DO[denial.because]}" if held else _WHAT_TO_DO[denial.because])
    return Explanation("AWS_DENIED", what, denial.because.value, todo, tuple(held[:_MOST_SHOWN]))


def _of_unknown_deny(denial: Denial, what: str) -> Explanation:
    """Returns what a deny may be that no task is there to be compared with: local AWSs call a guard's by this name."""
    why = f"{denial.because.value}; {_gone(denial)}, so it cannot be compared with what a task may do"
    guard = "or a guard of the task's session policy denies it"
    asked = f"{guard}: {_ask(denial.action, denial.resource)}" if denial.action else guard
    return Explanation("AWS_DENIED", what, why, (_WHAT_TO_DO[denial.because], asked))


def _gone(denial: Denial) -> str:
    return f"no task of this machine is named {denial.task_id}" if denial.task_id else "no task is live on this machine"


def _allowing(task: LiveTask, action: str | None) -> Sequence[Permission]:
    return allowed(task.session_policy, action, None).by if action else ()


def _of_unknown_action(what: str, tasks: Sequence[LiveTask]) -> Explanation:
    held = [f"the task {task.task_id} may: {line}" for task in tasks for line in _lines(_everything(task))]
    return Explanation(
        "AWS_DENIED",
        what,
        "the text does not say which action on which resource: not every SDK passes on what AWS says",
        (
            "make the call with the AWS CLI or boto3, which do, and give that text",
            "or compare with what the task may do",
        ),
        tuple(held[:_MOST_SHOWN]),
    )


def _without_task(denial: Denial, action: str, what: str) -> Explanation:
    return Explanation(
        "NOT_ALLOWED",
        what,
        f"{denial.because.value}; {_gone(denial)}, so it cannot be compared with what a task may do",
        (_ask(action, denial.resource),),
    )


def _compared(denial: Denial, action: str, what: str, tasks: Sequence[LiveTask]) -> Explanation:
    found = [(task, allowed(task.session_policy, action, denial.resource)) for task in tasks]
    covering = [(task, item) for task, item in found if item.by]
    if not covering:
        held = [f"the task {task.task_id} may: {line}" for task, item in found for line in _lines(item.others)]
        why = f"the task's credentials do not allow it{_narrower(action, tasks) if denial.resource else ''}"
        return Explanation("NOT_ALLOWED", what, why, (_ask(action, denial.resource),), tuple(held[:_MOST_SHOWN]))
    task, item = next(((task, item) for task, item in covering if item.always), covering[0])
    if denial.resource is None:
        return _somewhere(action, what, task, item)
    if not item.always:
        return _conditional(denial, what, task, item)
    if denial.because in {Because.SESSION_POLICY, Because.SESSION_DENY}:
        why = f"the task {task.task_id} allows it, so the credentials of that call were older, over, or another task's"
        return Explanation("AWS_DENIED", what, why, ("make the call again, with credentials that were just asked for",))
    why = f"the task {task.task_id} allows it; what refused it is {_ELSEWHERE}"
    return Explanation("AWS_DENIED", what, why, ("ask whoever owns the resource, or whoever runs the gateway",))


def _somewhere(action: str, what: str, task: LiveTask, item: Allowed) -> Explanation:
    return Explanation(
        "NOT_ALLOWED",
        what,
        f"the task {task.task_id} allows {action} on some resources only, and the text does not say on which it was",
        ("compare the resource with these",),
        tuple(_lines(item.by)),
    )


def _conditional(denial: Denial, what: str, task: LiveTask, item: Allowed) -> Explanation:
    conditions = {str(condition) for permission in item.by for condition in permission.conditions}
    return Explanation(
        "NOT_ALLOWED",
        what,
        f"the task {task.task_id} allows it under conditions only",
        (
            f"make the call so that it holds: {'; '.join(sorted(conditions))}",
            _ask(denial.action or "", denial.resource),
        ),
    )


def _narrower(action: str, tasks: Sequence[LiveTask]) -> str:
    """Says that the action is allowed elsewhere, where it is."""
    elsewhere = [by for task in tasks for by in allowed(task.session_policy, action, None).by]
    resources = sorted({resource for permission in elsewhere for resource in permission.resources})
    return f"; {action} it allows on {', '.join(resources[:_MOST_SHOWN])}" if resources else ""


def _ask(action: str, resource: str | None) -> str:
    """Returns how to ask for what was refused, exactly."""
    text = f"{action}={resource or 'arn:...'}"
    try:
        text = text_of(parse_allow(text))
    except RemitError:
        return f"ask for it when the task begins: --allow '{action}=ARN', if policy lets you have it"
    return f"ask for it when the task begins: --allow '{text}', if policy lets you have it"


def _everything(task: LiveTask) -> tuple[Permission, ...]:
    return allowed(task.session_policy, "", None).others


def _lines(permissions: Sequence[Permission]) -> list[str]:
    return [str(permission) for permission in permissions]
