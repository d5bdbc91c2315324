"""Reads `remit.toml` into `Settings`, or says everything that is wrong with it, all at once."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from remit_server.application.planning.ceilings import kept_ceilings
from remit_server.config import (
    loading_approvals,
    loading_cloud,
    loading_events,
    loading_identity,
    loading_issuer,
    loading_operators,
    loading_policy,
    loading_revocation,
    loading_serving,
)
from remit_server.config.approval_shapes import NotificationTable
from remit_server.config.audit_shapes import audit_keep
from remit_server.config.checkpoint_settings import checkpoints
from remit_server.config.files import Files
from remit_server.config.mistakes import ConfigurationError, Mistake, Notes
from remit_server.config.settings import AgentSettings, Settings
from remit_server.config.shapes import AgentTable, IssuerTable, RoleTable
from remit_server.config.source import Source, are_all, read, table, tables
from remit_server.config.telemetry import loading as telemetry

__all__ = ["ConfigurationError", "Mistake", "load"]

_SINGLE = ("policy", "aws", "database", "limits", "forbidden", "administrators", "approvals", "checkpoints", "audit")


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Returns the whole configuration, cross-checked.

    `REMIT__TABLE__KEY` in the environment stands above the file. Raises ConfigurationError with every mistake.
    """
    notes = Notes()
    source = read(path, environment, notes)
    if source.readable:
        settings = _settings(path, source, Files(path.absolute().parent, notes))
        loading_serving.note_unsafe_environment(environment, notes)
        if settings is not None and not notes.mistakes:
            return settings
    raise ConfigurationError(path, notes.mistakes)


def _settings(path: Path, source: Source, files: Files) -> Settings | None:
    """Returns the settings, or None when some part of them is missing; what is wrong is noted."""
    notes = files.notes
    files.unchangeable("the file", path)
    listen = table(source, "listen", notes)
    known_issuers = tables(source, "issuers", IssuerTable, notes)
    known_agents = tables(source, "agents", AgentTable, notes)
    known_roles = tables(source, "roles", RoleTable, notes)
    shapes = {name: table(source, name, notes) for name in _SINGLE}
    listeners = loading_serving.listeners(listen, files) if listen else ()
    http = loading_serving.http(listen.http, files) if listen else None
    metrics = telemetry.metrics(listen, files) if listen else None
    tracing = telemetry.tracing(source, files)
    issuers = loading_identity.issuers(known_issuers, files)
    agents: tuple[AgentSettings, ...] = ()
    administrators: frozenset[str] = frozenset()
    if listen and are_all(source, "issuers", known_issuers):  # else right agents would seem wrong
        bearer = listen.bearer is not None
        agents = loading_identity.agents(known_agents, known_issuers, listen.mtls, bearer=bearer, notes=notes)
        administrators = loading_operators.administrators(
            shapes["administrators"], known_issuers, known_agents, listen.mtls, notes
        )
    kept = checkpoints(shapes["checkpoints"], files) if shapes["checkpoints"] and "checkpoints" in source.tree else None
    has_http = listen is None or listen.http is not None
    events = loading_events.events(source, known_issuers, files, has_http=has_http)
    aws = loading_cloud.aws(shapes["aws"], source, files) if shapes["aws"] else None
    region = shapes["aws"].region if shapes["aws"] else None
    roles = loading_cloud.roles(known_roles, region, files)
    own_issuer = loading_issuer.own_issuer(source, known_roles, files)
    forbidden = loading_cloud.forbidden(shapes["forbidden"], notes) if shapes["forbidden"] else ()
    revocation = loading_revocation.revocation(source, notes)
    policy = loading_policy.policy(shapes["policy"], files) if shapes["policy"] else None
    database = loading_serving.database(shapes["database"], files) if shapes["database"] else None
    receivers = tables(source, "notifications", NotificationTable, notes)
    notifications = loading_approvals.notifications(receivers, files)
    if notes.mistakes or aws is None or policy is None or database is None:
        return None
    ceilings_digest = kept_ceilings(roles, [str(action) for action in forbidden]).digest
    return Settings(
        listeners=listeners,
        issuers=issuers,
        agents=agents,
        roles=roles,
        forbidden_extra=forbidden,
        policy=policy,
        aws=aws,
        database_url=database[0],
        database_password_file=database[1],
        spiffe_trust_domains=frozenset(listen.mtls.trust_domains if listen.mtls else ()),
        limits=loading_serving.limits(shapes["limits"]),
        reflection=listen.reflection,
        digest=_digest(source, ceilings_digest),
        ceilings_digest=ceilings_digest,
        http=http,
        administrators=administrators,
        events=events,
        approvals=loading_approvals.approvals(shapes["approvals"]),
        own_issuer=own_issuer,
        notifications=notifications,
        revocation=revocation,
        checkpoints=kept,
        audit_keep=audit_keep(shapes["audit"]),
        metrics=metrics,
        tracing=tracing,
    )


def _digest(source: Source, ceilings_digest: str) -> str:
    """Returns SHA-256 over the file's bytes, what the environment put above it (no secrets), and the ceilings."""
    overrides = json.dumps(source.overrides, sort_keys=True).encode()
    hasher = hashlib.sha256()
    for part in (source.raw, overrides, ceilings_digest.encode()):
        hasher.update(len(part).to_bytes(8, "big"))
        hasher.update(part)
    return hasher.hexdigest()
