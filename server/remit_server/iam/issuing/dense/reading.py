"""What a session policy grants, however densely it is written."""

import sys
from collections.abc import Sequence

from remit_server.iam.containment.lifting import left_by, lifting
from remit_server.iam.language.automaton import Steps
from remit_server.iam.language.statement import Effect, Statement


def listed(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    """Returns the Allows of a session policy as they were before they were written densely; others as they stand.

    For direct calls these are what the policy allows, so that whoever reads them reads what was granted, and not what
    the granted resources have in common.
    """
    denials, steps = lifting(statements), Steps(sys.maxsize)  # bounded by what fits a session policy
    return tuple(
        left
        for each in statements
        if each.effect is Effect.ALLOW
        for left in ([each] if each.not_action or each.not_resource else left_by(denials, each, steps))
    )
