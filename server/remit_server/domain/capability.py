r"""Named, parameterised permission templates, and how a caller's parameters become literal permissions.

A parameter's value is a literal: it is held to its kind's grammar, and `*`, `?`, `$`, `{`, `}`, `\\`, `"` and control
characters are refused in every kind (Apache Polaris CVE-2026-42810: an unescaped `*` in a name).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum

from remit_server.domain.aws_names import partition_of
from remit_server.domain.errors import FieldViolation, InvalidRequest
from remit_server.domain.permission import Permission
from remit_server.domain.task import Capability
from remit_server.iam import ActionPattern, Condition, ResourcePattern

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_NEVER = re.compile(r'[*?$\\{}"\x00-\x1f\x7f]')
_STEPS = frozenset({".", ".."})
MAX_VALUE = 512
MAX_NAMED = 40
PARTITION = "partition"
"""A placeholder that no caller fills: it follows the capability's parameter of the kind REGION."""


class ParameterKind(Enum):
    """The grammar of a parameter: what the whole value must look like, and how to say so."""

    S3_BUCKET = (
        "s3_bucket",
        r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
        "a bucket name (3 to 63 of a-z, 0-9, '.', '-')",
    )
    S3_PREFIX = (
        "s3_prefix",
        r"[A-Za-z0-9!_.'()@=+,:;&~ -][A-Za-z0-9!_.'()@=+,:;&~ /-]*/",
        "a key prefix that ends with '/' (without it 'tasks/t1' would also reach 'tasks/t10/')",
    )
    S3_KEY = ("s3_key", r"[A-Za-z0-9!_.'()@=+,:;&~ -][A-Za-z0-9!_.'()@=+,:;&~ /-]*", "one object key")
    DYNAMODB_TABLE = (
        "dynamodb_table",
        r"[A-Za-z0-9_.-]{3,255}",
        "a table name (3 to 255 of A-Z, a-z, 0-9, '_', '.', '-')",
    )
    DYNAMODB_KEY = ("dynamodb_key", r"[A-Za-z0-9_.@#:=/+-]{1,256}", "a partition key value without spaces")
    SECRET_NAME = ("secret_name", r"[A-Za-z0-9/_+=.@-]{1,256}", "a secret's name without its random suffix")
    # SQS, CreateQueue: up to 80 of these characters, the suffix of a FIFO queue included.
    SQS_QUEUE = (
        "sqs_queue",
        r"[A-Za-z0-9_-]{1,80}|(?=.{6,80}\Z)[A-Za-z0-9_-]+\.fifo",
        "a queue's name (up to 80 of A-Z, a-z, 0-9, '_', '-'; a FIFO queue ends with .fifo), not its URL",
    )
    # SNS, CreateTopic: up to 256 of these characters, the suffix of a FIFO topic included.
    SNS_TOPIC = (
        "sns_topic",
        r"[A-Za-z0-9_-]{1,256}|(?=.{6,256}\Z)[A-Za-z0-9_-]+\.fifo",
        "a topic's name (up to 256 of A-Z, a-z, 0-9, '_', '-'; a FIFO topic ends with .fifo), not its ARN",
    )
    # Systems Manager, PutParameter: at most 15 levels of these characters; aws and ssm are kept for AWS's own. /aws/...
    # also leads into Secrets Manager, so what begins with either is refused. The ARN has one slash, not two.
    SSM_PARAMETER = (
        "ssm_parameter",
        r"(?!(?i:aws|ssm))[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+){0,14}",
        "a parameter's name without its leading '/' (steps of A-Z, a-z, 0-9, '_', '.', '-'; no aws or ssm in front)",
    )
    SSM_PATH = (
        "ssm_path",
        r"(?!(?i:aws|ssm))([A-Za-z0-9_.-]+/){1,15}",
        "a path that ends with '/' ('app' would also reach 'apple'), without its leading '/' (no aws or ssm in front)",
    )
    # CloudWatch Logs, CreateLogGroup: up to 512 of these characters.
    LOG_GROUP = (
        "log_group",
        r"[A-Za-z0-9_./#-]{1,512}",
        "a log group's name (up to 512 of A-Z, a-z, 0-9, '_', '.', '/', '#', '-'), not its ARN",
    )
    # Lambda, FunctionName and Qualifier; $LATEST is what a call without a qualifier means.
    LAMBDA_FUNCTION = (
        "lambda_function",
        r"[A-Za-z0-9_-]{1,64}",
        "a function's name (up to 64 of A-Z, a-z, 0-9, '_', '-'), without version, not its ARN",
    )
    LAMBDA_QUALIFIER = (
        "lambda_qualifier",
        r"[A-Za-z0-9_-]{1,128}",
        "an alias or a version number (for $LATEST leave it out)",
    )
    # ECR, RepositoryName.
    ECR_REPOSITORY = (
        "ecr_repository",
        r"(?=.{2,256}\Z)[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*",
        "a repository's name in lower case, such as team/app, without registry and tag",
    )
    # EC2, "Tag restrictions": letters, digits, spaces and these; here ASCII, and no space at either end.
    TAG_VALUE = (
        "tag_value",
        r"(?=.{1,256}\Z)[A-Za-z0-9_.:/=+@-]+( +[A-Za-z0-9_.:/=+@-]+)*",
        "a tag's value (up to 256 of A-Z, a-z, 0-9, '_.:/=+@-' and inner spaces)",
    )
    # Athena, WorkGroupName.
    ATHENA_WORKGROUP = (
        "athena_workgroup",
        r"[A-Za-z0-9._-]{1,128}",
        "a workgroup's name (up to 128 of A-Z, a-z, 0-9, '.', '_', '-')",
    )
    # Glue and Athena: what Athena itself can name; Glue would take more.
    GLUE_NAME = (
        "glue_name",
        r"[a-z0-9_-]{1,255}",
        "the name of a database or table (up to 255 of a-z, 0-9, '_', '-')",
    )
    # Bedrock, FoundationModelArn: provider, a dot, the model, and up to two parts after colons.
    BEDROCK_MODEL = (
        "bedrock_model",
        r"[a-z0-9-]{1,63}\.([a-z0-9-]{1,63}\.){0,2}[a-z0-9-]{1,63}(:[a-z0-9-]{1,63}){0,2}",
        "a foundation model's id such as amazon.nova-lite-v1:0, not its ARN",
    )
    # Bedrock, InferenceProfileId.
    BEDROCK_PROFILE = (
        "bedrock_profile",
        r"[A-Za-z0-9.:-]{1,64}",
        "an inference profile's id such as eu.amazon.nova-lite-v1:0, not its ARN",
    )
    REGION = ("region", r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}", "a region such as us-east-1")
    ACCOUNT = ("account", r"[0-9]{12}", "twelve digits")

    def __init__(self, label: str, grammar: str, meaning: str) -> None:
        self.label = label
        self.grammar = re.compile(grammar)
        self.meaning = meaning

    @classmethod
    def named(cls, label: str) -> "ParameterKind":
        """Returns the kind of this label; ValueError names the known ones."""
        for kind in cls:
            if kind.label == label:
                return kind
        raise ValueError(f"unknown parameter type; known: {', '.join(kind.label for kind in cls)}")

    def broken_rule(self, value: str) -> str | None:
        """Returns what the value breaks, or None when it is a literal of this kind."""
        if len(value) > MAX_VALUE:
            return f"is longer than {MAX_VALUE} characters"
        if _NEVER.search(value):
            return "is taken literally: wildcards, '$', braces, quotes, backslashes and control characters are refused"
        if "//" in value or not _STEPS.isdisjoint(value.split("/")):
            return "must not hold '//', '.' or '..' as a path step"
        if not self.grammar.fullmatch(value) or (self is ParameterKind.REGION and not _is_region(value)):
            return f"must be {self.meaning}"
        return None


def _is_region(text: str) -> bool:
    """Says whether the text is a region of a partition that is known."""
    try:
        partition_of(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class ConditionTemplate:
    """A condition whose values may hold `{parameter}` placeholders."""

    operator: str
    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PermissionTemplate:
    """A permission whose resources and condition values may hold `{parameter}` placeholders; its actions never do.

    With `needs`, the permission is only there when the caller gave that optional parameter; with `without`, only when
    not.
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[ConditionTemplate, ...] = ()
    needs: str | None = None
    without: str | None = None


@dataclass(frozen=True, slots=True)
class CapabilityTemplate:
    """One entry of the catalogue. KMS permissions are already spelled out among `permissions` when it was loaded."""

    name: str
    description: str
    parameters: Mapping[str, ParameterKind]
    permissions: tuple[PermissionTemplate, ...]
    optional: frozenset[str] = frozenset()


def expand(capability: Capability, catalogue: Mapping[str, CapabilityTemplate], *, path: str) -> tuple[Permission, ...]:
    """Returns the literal permissions a capability stands for; raises InvalidRequest, never with a value.

    `path` is where the capability stands in the request, such as `intent.capabilities[0]`.
    """
    template = catalogue.get(capability.name)
    if template is None:
        rule = f"no such capability; {_names_like(capability.name, catalogue)}"
        raise InvalidRequest([FieldViolation(f"{path}.name", rule)])
    violations = _violations(capability, template, path)
    if violations:
        raise InvalidRequest(violations)
    values = _with_partition(capability.parameters, template)
    return tuple(
        _rendered(permission, values)
        for permission in template.permissions
        if (permission.needs is None or permission.needs in capability.parameters)
        and (permission.without is None or permission.without not in capability.parameters)
    )


def _names_like(name: str, catalogue: Mapping[str, CapabilityTemplate]) -> str:
    """Says which names there are, first the one that was probably meant. The caller's own text is not repeated."""
    known = sorted(catalogue)[:MAX_NAMED]
    meant = "".join(f"did you mean {one}? " for one in get_close_matches(name, known, n=1))
    return f"{meant}the catalogue has {', '.join(known)}"


def _violations(capability: Capability, template: CapabilityTemplate, path: str) -> list[FieldViolation]:
    """Returns every unknown, missing or ill-formed parameter."""
    found = []
    for name, value in sorted(capability.parameters.items()):
        kind = template.parameters.get(name)
        if kind is None:  # NOTE: an unknown name is the caller's text, so it is not repeated.
            known = ", ".join(sorted(template.parameters))
            found.append(FieldViolation(f"{path}.parameters", f"unknown parameter; {template.name} takes {known}"))
        elif (rule := kind.broken_rule(value)) is not None:
            found.append(FieldViolation(f"{path}.parameters.{name}", rule))
    missing = sorted(template.parameters.keys() - template.optional - capability.parameters.keys())
    found += [
        FieldViolation(f"{path}.parameters.{name}", f"is required: {template.parameters[name].meaning}")
        for name in missing
    ]
    return found


def _with_partition(values: Mapping[str, str], template: CapabilityTemplate) -> Mapping[str, str]:
    """Adds the partition of the region, which the loader saw to be there wherever it is used."""
    regions = [values[name] for name, kind in template.parameters.items() if kind is ParameterKind.REGION]
    return {**values, PARTITION: partition_of(regions[0])} if len(regions) == 1 else values


def _rendered(template: PermissionTemplate, parameters: Mapping[str, str]) -> Permission:
    """Fills the placeholders of one permission and parses the outcome again."""
    return Permission(
        actions=tuple([ActionPattern.parse(action) for action in template.actions]),
        resources=tuple([ResourcePattern.parse(_filled(resource, parameters)) for resource in template.resources]),
        conditions=tuple(
            Condition(
                condition.operator,
                condition.key,
                tuple(_filled(value, parameters) for value in condition.values),
            )
            for condition in template.conditions
        ),
    )


def _filled(text: str, parameters: Mapping[str, str]) -> str:
    """Replaces each `{name}` once; what was put in is not looked at again."""
    return _PLACEHOLDER.sub(lambda match: parameters[match.group(1)], text)


def placeholders(template: PermissionTemplate) -> frozenset[str]:
    """Returns the parameters a permission template uses: the loader refuses one that is not declared."""
    texts = [*template.resources, *(value for condition in template.conditions for value in condition.values)]
    return frozenset(name for text in texts for name in _PLACEHOLDER.findall(text))
