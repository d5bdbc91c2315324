"""AWS's own refusals, and which permission they were for: from its words, or from the call where it says little."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from remit.errors import InvalidRequest
from remit.intent import Permission
from remit.intents.grammar import check_permission

if TYPE_CHECKING:
    import boto3

_CODES = frozenset(
    {"AccessDenied", "AccessDeniedException", "AccessDeniedFault", "UnauthorizedOperation", "UnauthorizedAccess"}
    | {"AuthorizationError", "AuthorizationErrorException", "NotAuthorized", "Forbidden", "403"}
)
_NOT_ACCEPTED = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "InvalidAccessKeyId", "InvalidToken"}
)
_ACTION = re.compile(r"not authorized to perform: ([A-Za-z0-9-]+:[A-Za-z0-9*]+)")
_RESOURCE = re.compile(r'on resource: (?:"(arn:[^"]+)"|(arn:\S+))')
_OF_THE_TASK = ("session policy", "identity-based policy")
_NEED = "RemitNeed"
# Where S3's permission is not called as its operation is.
_S3_ACTIONS = {
    "HeadObject": "GetObject",
    "SelectObjectContent": "GetObject",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "HeadBucket": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListBuckets": "ListAllMyBuckets",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "DeleteObjects": "DeleteObject",
}
_S3_ON_OBJECTS = frozenset({"DeleteObjects"})


@dataclass(frozen=True, slots=True)
class Denial:
    """What AWS refused: the permission as far as it is known; `is_explicit` when no other credentials would help."""

    code: str
    message: str
    action: str
    resource: str
    is_explicit: bool

    @property
    def permission(self) -> Permission | None:
        """What would have to be asked for; None where that is not known exactly."""
        try:
            return check_permission(Permission(self.action, self.resource), "allow")
        except InvalidRequest:
            return None


def denial_of(error: BaseException) -> Denial | None:
    """Returns what a botocore ClientError says when it is AWS's refusal; None for every other error."""
    response = getattr(error, "response", None)
    if not isinstance(response, Mapping) or type(error).__module__.partition(".")[0] not in {"botocore", "boto3"}:
        return None
    told = response.get("Error", {})
    code, message = str(told.get("Code", "")), str(told.get("Message", ""))
    if code in _NOT_ACCEPTED:
        sentence = "AWS does not accept the task's credentials any more: they were revoked, or their time is over"
        return Denial(code, sentence, "", "", is_explicit=True)
    if code not in _CODES:
        return None
    return _denial(code, message, response.get("ResponseMetadata", {}).get(_NEED), getattr(error, "operation_name", ""))


def note_needs(session: "boto3.Session") -> None:
    """Lets the errors of this session's clients say which permission a refused call needed, where AWS does not."""
    events = session.events
    events.register("before-parameter-build", _keep_parameters)
    events.register("after-call", _note_need)


def _denial(code: str, message: str, need: tuple[str, str] | None, operation: str) -> Denial:
    """Says what was refused, in a sentence of ours: AWS's own names the role and the session."""
    action, resource = need or ("", "")
    if (found := _ACTION.search(message)) is not None:
        action = found[1]
        named = _RESOURCE.search(message)
        resource = (named[1] or named[2].rstrip(".,")) if named is not None else resource
    # Remit's session policies also deny what they do not allow, against policies of resources that would let a session
    # in: "with an explicit deny in a session policy" is therefore what most calls outside of a task meet.
    is_explicit = "explicit deny" in message and not any(policy in message for policy in _OF_THE_TASK)
    what = " on ".join(part for part in (action or f"the call {operation}", resource) if part)
    sentence = (
        f"a policy beyond the task's own credentials denies {what}: asking for more will not help"
        if is_explicit
        else f"the task's credentials do not cover {what}"
    )
    return Denial(code, sentence, action, resource, is_explicit)


def _keep_parameters(params: Any, context: Any, **_: Any) -> None:
    """Keeps where in S3 a call goes, for its error."""
    if isinstance(params, Mapping) and isinstance(context, dict):
        context[_NEED] = (params.get("Bucket"), params.get("Key"))


def _note_need(http_response: Any, parsed: Any, model: Any, context: Any, **_: Any) -> None:
    """Writes beside an error what the call needed."""
    if http_response.status_code < 400 or not isinstance(context, dict):  # noqa: PLR2004 - HTTP's errors begin here
        return
    service, operation = model.service_model.signing_name, model.name
    need = f"{service}:{operation}", ""
    if service == "s3":
        bucket, key = context.get(_NEED, (None, None))
        need = _s3_need(operation, bucket, key, str(context.get("client_region", "")))
    parsed.setdefault("ResponseMetadata", {})[_NEED] = need


def _s3_need(operation: str, bucket: Any, key: Any, region: str) -> tuple[str, str]:
    """Returns action and resource of a call of S3."""
    action = f"s3:{_S3_ACTIONS.get(operation, operation)}"
    if not isinstance(bucket, str):
        return action, "*"
    arn = bucket if bucket.startswith("arn:") else f"arn:{_partition(region)}:s3:::{bucket}"
    key = "*" if operation in _S3_ON_OBJECTS else key
    return action, f"{arn}/{key}" if isinstance(key, str) else arn


def _partition(region: str) -> str:
    return "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
