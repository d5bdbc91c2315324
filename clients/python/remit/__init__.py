"""Remit's client: AWS credentials for one task of one AI agent.

    import remit

    gateway = remit.Gateway("gateway.example.com:8443", certificate_file="agent.pem", key_file="agent.key")
    reports = remit.Capability("s3.read_prefix", bucket="reports", prefix="2026/q3/")
    with gateway.task("summarise Q3", subject_token=token, allow=[reports]) as task:
        s3 = task.boto3_session().client("s3")
        print(s3.get_object(Bucket="reports", Key="2026/q3/summary.md")["Body"].read())

What is named here is the API; the modules below may change.
"""

from remit._version import __version__
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
    Grant,
    GrantState,
    Issuance,
    PolicySize,
    Preview,
    Subject,
    TaskEnd,
    WouldIssue,
    WouldRefuse,
)
from remit.intent import Capability, Condition, Permission
from remit.task import AsyncTask, Task, TaskBlock

__all__ = [
    "ApprovalPending",
    "AsyncTask",
    "Capability",
    "Condition",
    "Credentials",
    "FailedPermission",
    "FieldViolation",
    "Gateway",
    "GatewayFailure",
    "Grant",
    "GrantState",
    "InvalidRequest",
    "Issuance",
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
    "TaskOver",
    "Unauthenticated",
    "Unavailable",
    "WouldIssue",
    "WouldRefuse",
    "__version__",
]
