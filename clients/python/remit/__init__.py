"""Remit's client: AWS credentials for one task of one AI agent.

    import remit

    gateway = remit.Gateway("gateway.example.com:8443", certificate_file="agent.pem", key_file="agent.key")
    reports = remit.Capability("s3.read_prefix", bucket="reports", prefix="2026/q3/")
    with gateway.task("summarise Q3", subject_token=token, allow=[reports]) as task:
        s3 = task.boto3_session().client("s3")
        print(s3.get_object(Bucket="reports", Key="2026/q3/summary.md")["Body"].read())

What is named here is the API; the modules below may change. Each name is imported when it is first used: the command
`remit credential-process` is started by other programs at each of their calls, and must not wait for what it does not
need.
"""

from remit._version import __version__

TYPE_CHECKING = False  # type checkers take this name for true; `typing` itself is not worth waiting for here
if TYPE_CHECKING:
    from remit import workload
    from remit.attenuated import Attenuated
    from remit.errors import (
        ApprovalPending,
        FailedPermission,
        FieldViolation,
        GatewayFailure,
        InvalidRequest,
        NotFound,
        RateLimited,
        Refused,
        Remedy,
        RemitError,
        TaskOver,
        Unauthenticated,
        Unavailable,
    )
    from remit.gateway import Gateway
    from remit.grant import (
        Credentials,
        Decision,
        Grant,
        GrantState,
        Identity,
        Issuance,
        PolicySize,
        Preview,
        Subject,
        TaskEnd,
        WouldIssue,
        WouldRefuse,
    )
    from remit.intent import Capability, Condition, Permission
    from remit.intents import TaskIntent, intent_of, parse_allow
    from remit.task import AsyncTask, Task, TaskBlock
    from remit.workload import NoWorkloadIdentity

__all__ = [
    "ApprovalPending",
    "AsyncTask",
    "Attenuated",
    "Capability",
    "Condition",
    "Credentials",
    "Decision",
    "FailedPermission",
    "FieldViolation",
    "Gateway",
    "GatewayFailure",
    "Grant",
    "GrantState",
    "Identity",
    "InvalidRequest",
    "Issuance",
    "NoWorkloadIdentity",
    "NotFound",
    "Permission",
    "PolicySize",
    "Preview",
    "RateLimited",
    "Refused",
    "Remedy",
    "RemitError",
    "Subject",
    "Task",
    "TaskBlock",
    "TaskEnd",
    "TaskIntent",
    "TaskOver",
    "Unauthenticated",
    "Unavailable",
    "WouldIssue",
    "WouldRefuse",
    "__version__",
    "intent_of",
    "parse_allow",
    "workload",
]

# Where they are, each importing those before it.
_HOMES = ("intent", "errors", "intents", "workload", "grant", "attenuated", "task", "gateway")


def __getattr__(name: str) -> object:
    """Imports what is named in `__all__` when it is first used; raises AttributeError for anything else."""
    if name in __all__:
        from importlib import import_module  # noqa: PLC0415 - the reason why this function exists

        if name == "workload":
            return import_module("remit.workload")
        for home in _HOMES:
            found = getattr(import_module(f"remit.{home}"), name, None)
            if found is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module 'remit' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Returns the API's names."""
    return sorted(__all__)
