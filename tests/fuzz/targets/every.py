"""All targets by their names."""

from typing import Final

from tests.fuzz.targets import answers, intents, policies, tokens

EVERY: Final = {target.name: target for group in (tokens, policies, intents, answers) for target in group.TARGETS}
