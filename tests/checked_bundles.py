"""Small whole bundles for `policy check`, to be broken in one place, and what is said of them."""

import asyncio
import json
from collections.abc import Mapping
from typing import Final

from tests.policy_bundles import NO

from remit_server.adapters.policy.checking.report import Report, check_files
from remit_server.adapters.rego.embedded import EngineLimits
from remit_server.config.settings import Settings

ISSUE: Final = "remit/issue/issue.rego"
CATALOGUE: Final = "remit/catalog/entitlements/data.yaml"
TEMPLATES: Final = "remit/catalog/capabilities/data.yaml"
RIGHTS: Final = "remit/catalog/administration/data.yaml"
HEAD: Final = f"package remit.issue\n\ndecision := {json.dumps(NO)}\n"
READER: Final = """roles: ["arn:aws:iam::111122223333:role/remit-reports"]
by_group:
  analysts: [reader]
entitlements:
  reader:
    description: Reads reports
    actors: ["spiffe://acme.example/copilot"]
    role_arn: arn:aws:iam::111122223333:role/remit-reports
    permissions:
      - actions: ["s3:GetObject"]
        resources: ["arn:aws:s3:::reports/2026/*"]
        conditions: []
    max_credential_seconds: 900
    max_task_seconds: 3600
"""
PATIENT: Final = EngineLimits(decision_seconds=30.0, wait_seconds=30.0)


def bundle(files: Mapping[str, str] | None = None) -> dict[str, bytes]:
    """Returns the files of a sound bundle with some of them replaced or added."""
    whole = {".manifest": '{"roots": ["remit"]}', ISSUE: HEAD, CATALOGUE: READER, **(files or {})}
    return {path: text.encode("utf-8") for path, text in whole.items()}


def checked(files: Mapping[str, str] | None = None, settings: Settings | None = None) -> Report:
    """Returns what `policy check` says of the bundle with these files."""
    return asyncio.run(check_files(bundle(files), settings, PATIENT))


def told(files: Mapping[str, str] | None = None, settings: Settings | None = None) -> list[tuple[str, str, int]]:
    """Returns rule, file and line of each finding."""
    return [(one.rule, one.path, one.line) for one in checked(files, settings).findings]
