"""What was found in a policy bundle, in words."""

from typing import TYPE_CHECKING

from remit_server.cli.audit_words import plain

if TYPE_CHECKING:
    from remit_server.transport.grpc.policy.calls import PolicyFinding


def told_finding(finding: "PolicyFinding") -> str:
    """Returns a finding in one line, as `policy check` tells its own; nothing in it steers a terminal."""
    where = f"{plain(finding.path)}:{finding.line}" if finding.line else plain(finding.path)
    text = f"{plain(finding.problem)}. {plain(finding.mend)}."
    return f"{where}: {text}" if where else text
