"""A bundle is served only by a gateway that has every role it names."""

from pathlib import Path

import pytest

from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.adapters.policy.bundles.fitting import read_fitting_bundle
from remit_server.adapters.policy.findings import BundleRefused

POLICIES = Path(__file__).parents[2] / "policies"
REPORTS = "arn:aws:iam::111122223333:role/remit-reports"
DATA = "arn:aws:iam::111122223333:role/remit-data"


def test_a_bundle_whose_roles_are_all_configured_is_read() -> None:
    assert read_fitting_bundle(POLICIES, [REPORTS, DATA, "arn:aws:iam::111122223333:role/more"]) == read_bundle(
        POLICIES
    )


def test_each_role_that_the_gateway_lacks_is_named_with_what_to_do() -> None:
    with pytest.raises(BundleRefused) as raised:
        read_fitting_bundle(POLICIES, [REPORTS])

    (finding,) = raised.value.findings
    assert DATA in finding.problem
    assert "[[roles]]" in finding.mend
