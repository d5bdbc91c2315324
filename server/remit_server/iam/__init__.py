"""The IAM policy algebra: what may be issued, proven without trusting whoever decided it."""

from remit_server.iam.containment.proving import contains, contains_all
from remit_server.iam.containment.verdict import Budget, Counterexample, Cover, Purse, Undecided, Witness
from remit_server.iam.evaluation.evaluating import (
    Allowed,
    ExplicitDeny,
    ImplicitDeny,
    Naming,
    Policies,
    Request,
    ResourcePolicy,
    evaluate,
)
from remit_server.iam.issuing.cells import TooManyOverlapsError
from remit_server.iam.issuing.compaction import Compacted, compact, split
from remit_server.iam.issuing.covering import Covered, Covering, asked_facts, covered
from remit_server.iam.issuing.deriving import (
    COVERING_STEPS,
    Derived,
    Outline,
    TooLarge,
    UnderivableIntent,
    conditioned,
    derive,
    outline,
)
from remit_server.iam.issuing.forbidden import LASTING, Floor, floor, forbidden_action, outlives_task
from remit_server.iam.issuing.guards import bound_to, guarded, time_bound, without_end
from remit_server.iam.issuing.narrowing import narrow, narrow_all, narrowing_steps
from remit_server.iam.issuing.sessions import Bounds, allows_of, bounds_of, condition_guards_on, end_of, lies_within
from remit_server.iam.language.arn import ActionPattern, MalformedPattern, ResourcePattern
from remit_server.iam.language.automaton import Steps
from remit_server.iam.language.condition import Condition, MalformedCondition
from remit_server.iam.language.document import Document
from remit_server.iam.language.pattern import Pattern, PatternTooComplex
from remit_server.iam.language.statement import Effect, MalformedPolicy, Statement

__all__ = [
    "COVERING_STEPS",
    "LASTING",
    "ActionPattern",
    "Allowed",
    "Bounds",
    "Budget",
    "Compacted",
    "Condition",
    "Counterexample",
    "Cover",
    "Covered",
    "Covering",
    "Derived",
    "Document",
    "Effect",
    "ExplicitDeny",
    "Floor",
    "ImplicitDeny",
    "MalformedCondition",
    "MalformedPattern",
    "MalformedPolicy",
    "Naming",
    "Outline",
    "Pattern",
    "PatternTooComplex",
    "Policies",
    "Purse",
    "Request",
    "ResourcePattern",
    "ResourcePolicy",
    "Statement",
    "Steps",
    "TooLarge",
    "TooManyOverlapsError",
    "Undecided",
    "UnderivableIntent",
    "Witness",
    "allows_of",
    "asked_facts",
    "bound_to",
    "bounds_of",
    "compact",
    "condition_guards_on",
    "conditioned",
    "contains",
    "contains_all",
    "covered",
    "derive",
    "end_of",
    "evaluate",
    "floor",
    "forbidden_action",
    "guarded",
    "lies_within",
    "narrow",
    "narrow_all",
    "narrowing_steps",
    "outline",
    "outlives_task",
    "split",
    "time_bound",
    "without_end",
]
