"""What AWS says when it refuses a call, in the words of its SDKs and tools, read into what was refused and why."""

import re
from dataclasses import dataclass
from enum import StrEnum

LONGEST_TEXT = 64 * 1024
_PERFORM = re.compile(
    r"not authorized to perform:? +(?P<action>[A-Za-z0-9-]{1,64}:[A-Za-z0-9*]{1,64})"
    r"(?: +on +resource:? +(?:\"(?P<quoted>[^\"\n]{1,1600})\"|'(?P<single>[^'\n]{1,1600})'|"
    r"(?P<bare>[^\s\"']{1,1600})))?"
)
_SESSION = re.compile(r"assumed-role/[\w+=,.@-]{1,64}/([a-z2-7]{26})(?![\w+=,.@-])")
_OPERATION = re.compile(r"when calling the (\w{1,64}) operation|\b(\w{1,64})Command\b")
_DENIED = re.compile(
    r"access ?denied|unauthorizedoperation|accessdeniedexception|\(403\)|\b403 forbidden|status ?code:? 403|"
    r"not authorized to perform",
    re.IGNORECASE,
)
_OVER = re.compile(
    r"expiredtoken|requestexpired|token (?:included in the request )?(?:is|has) expired|invalidclienttokenid|"
    r"unrecognizedclientexception|invalidaccesskeyid|security token included in the request is invalid",
    re.IGNORECASE,
)


class Because(StrEnum):
    """Which kind of policy AWS names as the one that stopped the call."""

    SESSION_POLICY = "no session policy allows it"
    SESSION_DENY = "a session policy denies it"
    IDENTITY_POLICY = "no identity-based policy allows it"
    IDENTITY_DENY = "an identity-based policy denies it"
    ELSEWHERE = "a policy of the resource, the organisation, a boundary or an endpoint"
    OVER = "the credentials are over"
    UNTOLD = "AWS does not say"


_BECAUSE = (
    (re.compile(r"no session policy allows", re.IGNORECASE), Because.SESSION_POLICY),
    (re.compile(r"explicit deny in an? session policy", re.IGNORECASE), Because.SESSION_DENY),
    (re.compile(r"no identity-based policy allows", re.IGNORECASE), Because.IDENTITY_POLICY),
    (re.compile(r"explicit deny in an identity-based policy", re.IGNORECASE), Because.IDENTITY_DENY),
    (
        re.compile(
            r"(?:no|explicit deny in an?) (?:resource-based|service control|resource control|vpc endpoint) policy|"
            r"permissions boundary",
            re.IGNORECASE,
        ),
        Because.ELSEWHERE,
    ),
)
# Operations whose action has another name, and those that are common enough to guess their service.
_ACTIONS = {
    **{
        name: f"s3:{name}"
        for name in ("GetObject", "PutObject", "DeleteObject", "GetBucketLocation", "GetObjectTagging")
    },
    "HeadObject": "s3:GetObject",
    "GetObjectAttributes": "s3:GetObject",
    "CopyObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "DeleteObjects": "s3:DeleteObject",
    "ListObjects": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "HeadBucket": "s3:ListBucket",
    "ListBuckets": "s3:ListAllMyBuckets",
    **{f"{verb}Item": f"dynamodb:{verb}Item" for verb in ("Get", "Put", "Update", "Delete", "BatchGet", "BatchWrite")},
    "Query": "dynamodb:Query",
    "Scan": "dynamodb:Scan",
    "GetSecretValue": "secretsmanager:GetSecretValue",
    "SendMessage": "sqs:SendMessage",
    "ReceiveMessage": "sqs:ReceiveMessage",
    "Publish": "sns:Publish",
    "GetParameter": "ssm:GetParameter",
    "Invoke": "lambda:InvokeFunction",
    "InvokeModel": "bedrock:InvokeModel",
    "Converse": "bedrock:InvokeModel",
}


@dataclass(frozen=True, slots=True)
class Denial:
    """A call that AWS refused: what is known of it. `task_id` is that of the session, which is named after its task."""

    because: Because
    action: str | None = None
    resource: str | None = None
    task_id: str | None = None
    operation: str | None = None


def denial_of(text: str) -> Denial | None:
    """Returns what a text of AWS, an SDK or a tool says that was refused; None for a text about something else."""
    text = text[:LONGEST_TEXT]
    is_over = _OVER.search(text)
    if not (is_over or _DENIED.search(text)):
        return None
    found, session, operation = _PERFORM.search(text), _SESSION.search(text), _operation(text)
    resource = (found["quoted"] or found["single"] or _trimmed(found["bare"])) if found else None
    return Denial(
        because=Because.OVER if is_over and not found else _because(text),
        action=found["action"] if found else _ACTIONS.get(operation or ""),
        resource=resource if resource is not None and (resource == "*" or resource.startswith("arn:")) else None,
        task_id=session.group(1) if session else None,
        operation=operation,
    )


def _because(text: str) -> Because:
    return next((because for pattern, because in _BECAUSE if pattern.search(text)), Because.UNTOLD)


def _operation(text: str) -> str | None:
    """Returns the operation that a text names, as boto3 and the AWS CLI say it or as the JS SDK names commands."""
    found = _OPERATION.search(text)
    return (found.group(1) or found.group(2)) if found else None


def _trimmed(resource: str | None) -> str | None:
    """Returns a resource without the punctuation of the sentence around it."""
    return resource.rstrip(".,;)") if resource else None
