"""The floor: what is never issued, whatever policy and ceilings say; configuration can only add to it.

NEVER would widen rights beyond the session: new principals and keys, role hand-overs, resource policies.
LASTING hands out access that may outlive the task: other credentials, sessions, commands and code that stay.
A role's configuration may re-open a pattern of LASTING by its name; its grants then say `outlives_task`.
Source: AWS Service Authorization Reference, actions of access level "Permissions management", and the
privilege escalation paths known from practice (role chains, PassRole, resource policies, federation tokens).
"""

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Final

from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.document import Document
from remit_server.iam.language.pattern import Pattern
from remit_server.iam.language.statement import Effect, Statement

HARMLESS: Final = ("sts:GetCallerIdentity",)
"""Exempt from NEVER: AWS answers it to everyone, and only with who asks."""

_POLICY_WRITER_SERVICES: Final = (
    "acm-pca",
    "backup",
    "bedrock",
    "bedrock-agentcore",
    "cloudtrail",
    "codeartifact",
    "codebuild",
    "dsql",
    "dynamodb",
    "ecr",
    "ecr-public",
    "elasticfilesystem",
    "entityresolution",
    "events",
    "glacier",
    "glue",
    "kafka",
    "kinesis",
    "kinesisvideo",
    "kms",
    "lambda",
    "lex",
    "logs",
    "mediastore",
    "network-firewall",
    "oam",
    "redshift",
    "redshift-serverless",
    "refactor-spaces",
    "rekognition",
    "route53resolver",
    "s3",
    "s3-object-lambda",
    "s3-outposts",
    "s3express",
    "s3tables",
    "s3vectors",
    "sagemaker",
    "schemas",
    "secretsmanager",
    "serverlessrepo",
    "ses",
    "signer",
    "sns",
    "sqs",
    "ssm",
    "ssm-contacts",
    "ssm-incidents",
    "vpc-lattice",
    "wafv2",
    "xray",
)

NEVER: Final = (
    "iam:*",
    "organizations:*",
    "account:*",
    "sts:*",
    "ram:*",
    "kms:CreateGrant",
    "lambda:AddPermission",
    "lambda:AddLayerVersionPermission",
    *(f"{service}:Put*Policy" for service in _POLICY_WRITER_SERVICES),
    # Writers of resource policies under other names.
    "acm-pca:CreatePermission",
    "apigateway:UpdateRestApiPolicy",
    "ecr:SetRepositoryPolicy",
    "ecr-public:SetRepositoryPolicy",
    "es:UpdateDomainConfig",
    "events:PutPermission",
    "glacier:SetVaultAccessPolicy",
    "s3:PutBucketAcl",
    "s3:PutObjectAcl",
    "s3:PutObjectVersionAcl",
    "s3:PutAccessPoint*Policy*",
    "s3:CreateAccessGrant*",
    "sns:AddPermission",
    "sns:SetTopicAttributes",
    "sqs:AddPermission",
    "sqs:SetQueueAttributes",
    # What shares data or rights with other accounts, or opens them to everybody.
    "apigateway:UpdateDomainName*Policy",
    "cloudsearch:UpdateServiceAccessPolicies",
    "codeguru-profiler:PutPermission",
    "datazone:AddPolicyGrant",
    "ec2:ModifyImageAttribute",
    "ec2:ModifySnapshotAttribute",
    "entityresolution:AddPolicyStatement",
    "grafana:UpdatePermissions",
    "iot:AttachPolicy",
    "iot:CreatePolicy*",
    "lakeformation:PutDataLakeSettings",
    "rds:ModifyDBClusterSnapshotAttribute",
    "rds:ModifyDBSnapshotAttribute",
    "redshift:AuthorizeDataShare",
    "redshift:AuthorizeSnapshotAccess",
    "s3:ObjectOwnerOverrideToBucketOwner",
    "s3:PutAccountPublicAccessBlock",
    "s3:PutBucketOwnershipControls",
    "s3:PutBucketPublicAccessBlock",
    "s3-object-lambda:PutObjectAcl",
    "s3-outposts:PutObjectAcl",
    "servicecatalog:CreatePortfolioShare",
    "ses:CreateEmailIdentityPolicy",
    "ses:UpdateEmailIdentityPolicy",
    "signer:AddProfilePermission",
    "ssm:ModifyDocumentPermission",
    "ssm-sap:PutResourcePermission",
    # Rights of people and clusters that live in other services.
    "eks:AssociateAccessPolicy",
    "eks:CreateAccessEntry",
    "lakeformation:GrantPermissions",
    "lakeformation:BatchGrantPermissions",
    "sso:Attach*",
    "sso:CreateAccountAssignment",
    "sso:Put*",
)

LASTING: Final = (
    "codeartifact:GetAuthorizationToken",
    "cognito-identity:GetCredentialsForIdentity",
    "ec2-instance-connect:OpenTunnel",
    "ec2-instance-connect:SendSSHPublicKey",
    "ecr:GetAuthorizationToken",
    "ecr-public:GetAuthorizationToken",
    "ecs:ExecuteCommand",
    "lakeformation:GetTemporary*",
    "rds-db:connect",
    "redshift:GetClusterCredentials*",
    "redshift-serverless:GetCredentials",
    "s3:GetDataAccess",
    "s3express:CreateSession",
    "ssm:ResumeSession",
    "ssm:SendCommand",
    "ssm:StartSession",
    "sso:GetRoleCredentials",
)

_IN_ANY_SERVICE: Final = Pattern("put*policy")
_EVERY_RESOURCE: Final = (ResourcePattern.parse("*"),)


def floor(extra: Iterable[str] = (), reopened: Collection[str] = ()) -> Document:
    """Writes the floor as one more ceiling: everything but the forbidden actions, and what is harmless.

    `extra` adds action patterns; `reopened` takes patterns of LASTING, spelled as there, out again.
    Raises ValueError when a pattern cannot be read or may not be re-opened.
    """
    forbidden = _patterns(tuple(extra), frozenset(reopened))
    harmless = tuple(ActionPattern.parse(text) for text in HARMLESS)
    return Document(
        (
            Statement(Effect.ALLOW, forbidden, _EVERY_RESOURCE, not_action=True),
            Statement(Effect.ALLOW, harmless, _EVERY_RESOURCE),
        )
    )


def forbidden_action(statement: Statement, extra: Iterable[str] = (), reopened: Collection[str] = ()) -> str | None:
    """Returns the floor's pattern that a statement's actions touch, or None; a Deny touches nothing.

    Besides the floor's own patterns, Put*Policy is forbidden in every service, also one not listed.
    """
    if statement.effect is Effect.DENY:
        return None
    forbidden = _patterns(tuple(extra), frozenset(reopened))
    if statement.not_action:
        return next((pattern.text for pattern in forbidden if statement.touches_action(pattern)), None)
    first = min(_first_touched(action, forbidden) for action in statement.actions)
    if first < len(forbidden):
        return forbidden[first].text
    return "*:Put*Policy" if first == len(forbidden) else None


def outlives_task(document: Document, reopened: Collection[str]) -> bool:
    """Says whether an Allow of the document touches an action that a role has re-opened."""
    patterns = [ActionPattern.parse(text) for text in reopened]
    return any(
        statement.touches_action(pattern)
        for statement in document.statements
        if statement.effect is Effect.ALLOW
        for pattern in patterns
    )


@lru_cache(256)
def _patterns(extra: tuple[str, ...], reopened: frozenset[str]) -> tuple[ActionPattern, ...]:
    """Returns the floor's patterns, in their order; configurations are few, so each is read once."""
    if unknown := set(reopened) - set(LASTING):
        raise ValueError(f"Only these can be re-opened, by name: {', '.join(LASTING)}; not {sorted(unknown)}.")
    lasting = (text for text in LASTING if text not in reopened)
    return tuple(ActionPattern.parse(text) for text in (*NEVER, *lasting, *extra))


@lru_cache(4096)
def _first_touched(action: ActionPattern, forbidden: tuple[ActionPattern, ...]) -> int:
    """Returns the place of the first pattern that an action touches; after them comes Put*Policy, then nothing."""
    if _is_harmless(action):
        return len(forbidden) + 1
    for place, pattern in enumerate(forbidden):
        if pattern.overlaps(action):
            return place
    return len(forbidden) + (not _IN_ANY_SERVICE.overlaps(action.name))


def _is_harmless(action: ActionPattern) -> bool:
    return any(ActionPattern.parse(text).includes(action) for text in HARMLESS)
