"""What is known of a bundle that may be published."""

import json
from collections.abc import Mapping

from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.adapters.policy.bundles.manifest import built_time_of
from remit_server.domain.policy_revision import BundleFacts


def facts_of(files: Mapping[str, bytes], bundle: Bundle, *, signed_by: str = "") -> BundleFacts:
    """Returns what the files (by path) of a sound bundle say of it; reads all of its data once."""
    catalog = json.loads(bundle.data_json).get("remit", {}).get("catalog", {})
    return BundleFacts(
        revision=bundle.revision,
        size=sum(map(len, files.values())),
        built_time=built_time_of(files),
        signed_by=signed_by,
        rule_files=len(bundle.rules),
        capabilities=len(bundle.capabilities),
        entitlements=len(catalog.get("entitlements", {}).get("entitlements", {})),
    )
