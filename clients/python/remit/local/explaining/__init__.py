"""Says of a reason, of an AWS denial, of a request or of a task what failed, why, and what to do."""

from remit.local.explaining.denials import Denial, denial_of
from remit.local.explaining.explanation import Explanation
from remit.local.explaining.reasons import REASONS, explain_reason
from remit.local.explaining.verdicts import LiveTask, explain_denial

__all__ = ["REASONS", "Denial", "Explanation", "LiveTask", "denial_of", "explain_denial", "explain_reason"]
