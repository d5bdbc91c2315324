"""The IAM policy algebra: what may be issued, proven without trusting whoever decided it."""

from remit_server.iam.arn import ActionPattern, MalformedPattern, ResourcePattern
from remit_server.iam.compaction import Compacted, compact, split
from remit_server.iam.condition import Condition, MalformedCondition
from remit_server.iam.containment import contains, contains_all
from remit_server.iam.deriving import Covering, Derived, TooLarge, UnderivableIntent, conditioned, derive
from remit_server.iam.document import Document, Effect, MalformedPolicy, Statement
from remit_server.iam.evaluation import (
    Allowed,
    ExplicitDeny,
    ImplicitDeny,
    Naming,
    Policies,
    Request,
    ResourcePolicy,
    evaluate,
)
from remit_server.iam.forbidden import floor, forbidden_action, outlives_task
from remit_server.iam.guards import TooManyOverlapsError, bound_to, guarded, time_bound
from remit_server.iam.narrowing import narrow, narrow_all
from remit_server.iam.pattern import Pattern, PatternTooComplex
from remit_server.iam.verdict import Budget, Counterexample, Cover, Undecided, Witness

__all__ = [
    "ActionPattern",
    "Allowed",
    "Budget",
    "Compacted",
    "Condition",
    "Counterexample",
    "Cover",
    "Covering",
    "Derived",
    "Document",
    "Effect",
    "ExplicitDeny",
    "ImplicitDeny",
    "MalformedCondition",
    "MalformedPattern",
    "MalformedPolicy",
    "Naming",
    "Pattern",
    "PatternTooComplex",
    "Policies",
    "Request",
    "ResourcePattern",
    "ResourcePolicy",
    "Statement",
    "TooLarge",
    "TooManyOverlapsError",
    "Undecided",
    "UnderivableIntent",
    "Witness",
    "bound_to",
    "compact",
    "conditioned",
    "contains",
    "contains_all",
    "derive",
    "evaluate",
    "floor",
    "forbidden_action",
    "guarded",
    "narrow",
    "narrow_all",
    "outlives_task",
    "split",
    "time_bound",
]
