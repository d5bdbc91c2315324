"""What a task needs, as text: on a command line, in a tool's arguments, in an RFC 9396 request."""

from remit.intents.reading import intent_of, parse_allow, parse_allows
from remit.intents.task_intent import TaskIntent
from remit.intents.writing import details_of, text_of

__all__ = ["TaskIntent", "details_of", "intent_of", "parse_allow", "parse_allows", "text_of"]
