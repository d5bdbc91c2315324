"""Published revisions and activations to rows and back, each exactly: what is read equals what was written."""

from datetime import datetime
from typing import Any

from remit_server.adapters.database.writing.prepared import Row
from remit_server.domain.policy_revision import (
    Activation,
    ActivationKind,
    BundleFacts,
    PublishedRevision,
    RevisionSource,
)


def published_row(facts: BundleFacts, *, by: str, source: RevisionSource, now: datetime) -> dict[str, Any]:
    """Returns a revision that is published now as its row, which gets its number from the database."""
    return {
        "revision": facts.revision,
        "publish_time": now,
        "publisher": by,
        "source": source.value,
        "size": facts.size,
        "built_time": facts.built_time,
        "signed_by": facts.signed_by,
        "rule_files": facts.rule_files,
        "capabilities": facts.capabilities,
        "entitlements": facts.entitlements,
    }


def published_of(row: Row) -> PublishedRevision:
    """Returns the published revision of a row."""
    facts = BundleFacts(
        revision=row["revision"],
        size=row["size"],
        built_time=row["built_time"],
        signed_by=row["signed_by"],
        rule_files=row["rule_files"],
        capabilities=row["capabilities"],
        entitlements=row["entitlements"],
    )
    return PublishedRevision(row["number"], facts, row["publish_time"], row["publisher"], RevisionSource(row["source"]))


def activation_of(row: Row) -> Activation:
    """Returns the activation of a row."""
    return Activation(
        number=row["number"],
        revision=row["revision"],
        kind=ActivationKind(row["kind"]),
        time=row["time"],
        by=row["by"],
        why=row["why"],
        revocation_id=row["revocation_id"],
    )
