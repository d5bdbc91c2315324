"""A bundle held against the gateway that is to serve it: a role that the gateway lacks would fail every call."""

import json
from collections.abc import Collection
from pathlib import Path

from remit_server.adapters.policy.bundles.bundle import Bundle, read_bundle
from remit_server.adapters.policy.findings import BundleRefused, Finding

CATALOGUE = "remit/catalog/entitlements/data.yaml"


def read_fitting_bundle(folder: Path, roles: Collection[str]) -> Bundle:
    """Returns the bundle; raises BundleRefused for its own faults and for each role that is not configured."""
    return fitting(read_bundle(folder), roles)


def fitting(bundle: Bundle, roles: Collection[str]) -> Bundle:
    """Returns the bundle; raises BundleRefused for each role of its catalogue that is not configured."""
    if missing := missing_roles(bundle, roles):
        raise BundleRefused(missing)
    return bundle


def missing_roles(bundle: Bundle, roles: Collection[str]) -> list[Finding]:
    """Returns a fault for each role that the catalogue names and the gateway's configuration does not have."""
    return [
        Finding(
            CATALOGUE,
            0,
            f"names {arn}, which this gateway's configuration does not have",
            "Add it under [[roles]] with a copy of its own policy, or take it out of the catalogue",
            "unknown-role",
        )
        for arn in _roles_of(bundle)
        if arn not in roles
    ]


def _roles_of(bundle: Bundle) -> list[str]:
    """Returns the roles that the catalogue names; reading the bundle has checked that they are a list of ARNs."""
    catalogue = json.loads(bundle.data_json).get("remit", {}).get("catalog", {})
    return list(catalogue.get("entitlements", {}).get("roles", ()))
