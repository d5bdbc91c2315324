"""The floor: what is never issued, whatever policy and ceilings say; configuration can only add to it.

NEVER would widen rights beyond the session: new principals and keys, role hand-overs, resource policies.
LASTING hands out access that may outlive the task: other credentials, sessions, commands and code that stay.
A role's configuration may re-open a pattern of LASTING by its name; its grants then say `outlives_task`.
Source: AWS Service Authorization Reference, actions of access level "Permissions management", and the
privilege escalation paths known from practice (role chains, PassRole, resource policies, federation tokens).
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
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

_ANY_POLICY_WRITER: Final = "*:Put*Policy"
_IN_ANY_SERVICE: Final = Pattern("put*policy")
# How many actions a floor remembers before it forgets them all.
_REMEMBERED: Final = 4096
_EVERY_RESOURCE: Final = (ResourcePattern.parse("*"),)


@dataclass(frozen=True, slots=True)
class Floor:
    """Holds the forbidden patterns in their order, and which of them each action asked about touches first."""

    patterns: tuple[ActionPattern, ...]
    _touched: dict[str, str | None] = field(default_factory=dict, init=False, compare=False, repr=False)

    @classmethod
    def of(cls, extra: Iterable[str] = (), reopened: Collection[str] = ()) -> "Floor":
        """Returns a configuration's floor, as `floor` describes it; raises ValueError."""
        return _floor(tuple(extra), frozenset(reopened))

    @property
    def document(self) -> Document:
        """The floor as one more ceiling: everything but the forbidden actions, and what is harmless."""
        harmless = tuple(ActionPattern.parse(text) for text in HARMLESS)
        return Document(
            (
                Statement(Effect.ALLOW, self.patterns, _EVERY_RESOURCE, not_action=True),
                Statement(Effect.ALLOW, harmless, _EVERY_RESOURCE),
            )
        )

    def touched_by(self, statement: Statement) -> str | None:
        """Returns the first pattern that a statement's actions touch, or None; a Deny touches nothing.

        Besides the floor's own patterns, Put*Policy is forbidden in every service, also one not listed.
        """
        if statement.effect is Effect.DENY:
            return None
        if statement.not_action:
            return next((pattern.text for pattern in self.patterns if statement.touches_action(pattern)), None)
        touched = [text for action in statement.actions if (text := self._touched_by_action(action)) is not None]
        if len(touched) <= 1:
            return touched[0] if touched else None
        return next((pattern.text for pattern in self.patterns if pattern.text in touched), _ANY_POLICY_WRITER)

    def _touched_by_action(self, action: ActionPattern) -> str | None:
        """Does as `touched_by` for one action; what was asked is remembered, within bounds: callers choose actions."""
        try:
            return self._touched[action.folded]
        except KeyError:
            if len(self._touched) >= _REMEMBERED:
                self._touched.clear()
            found = self._touched[action.folded] = self._first_touched(action)
            return found

    def _first_touched(self, action: ActionPattern) -> str | None:
        if _is_harmless(action):
            return None
        writer = _ANY_POLICY_WRITER if _IN_ANY_SERVICE.overlaps(action.name) else None
        return next((pattern.text for pattern in self.patterns if pattern.overlaps(action)), writer)


def floor(extra: Iterable[str] = (), reopened: Collection[str] = ()) -> Document:
    """Writes the floor as one more ceiling: everything but the forbidden actions, and what is harmless.

    `extra` adds action patterns; `reopened` takes patterns of LASTING, spelled as there, out again.
    Raises ValueError when a pattern cannot be read or may not be re-opened.
    """
    return Floor.of(extra, reopened).document


def forbidden_action(statement: Statement, extra: Iterable[str] = (), reopened: Collection[str] = ()) -> str | None:
    """Returns the floor's pattern that a statement's actions touch, as `Floor.touched_by` does."""
    return Floor.of(extra, reopened).touched_by(statement)


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
def _floor(extra: tuple[str, ...], reopened: frozenset[str]) -> Floor:
    """Reads the patterns of a floor; configurations are few, so each is read once."""
    if unknown := set(reopened) - set(LASTING):
        raise ValueError(f"Only these can be re-opened, by name: {', '.join(LASTING)}; not {sorted(unknown)}.")
    lasting = (text for text in LASTING if text not in reopened)
    return Floor(tuple(ActionPattern.parse(text) for text in (*NEVER, *lasting, *extra)))


def _is_harmless(action: ActionPattern) -> bool:
    return any(ActionPattern.parse(text).includes(action) for text in HARMLESS)
