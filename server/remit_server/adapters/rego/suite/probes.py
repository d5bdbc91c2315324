"""Listens to what a bundle's tests make its entrypoints answer, to tell which entitlements and reasons they reach.

The entrypoint is renamed, and a rule with its name passes its value on and tells of it. Whoever asks for the entrypoint
gets the same value as before, and each evaluation is heard, under whatever `with` it runs.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from remit_server.adapters.policy.bundles.bundle import is_test
from remit_server.adapters.rego.suite.tree import Edit, Module, nodes

ANSWERED: Final = "remit_test.answered"
# The bundle's own entitlements, for tests replace the catalogue by one of their own and answers by that prove nothing.
REAL: Final = "remit_suite"
_ENTRYPOINT: Final = "decision"
_HIDDEN: Final = "remit_probed_decision"
PACKAGES: Final = ("data.remit.admin", "data.remit.issue")

# Its names are unlike those of any rule, which they would otherwise hide.
_PROBE: Final = f"""package {{package}}

{_ENTRYPOINT} := remit_probe_answer if {{{{
	remit_probe_answer := {_HIDDEN}
	{ANSWERED}(
		[remit_probe_one.id |
			is_object(remit_probe_answer)
			is_array(remit_probe_answer.entitlements)
			some remit_probe_one in remit_probe_answer.entitlements
			is_object(remit_probe_one)
			is_string(remit_probe_one.id)
			data.{REAL}[remit_probe_one.id] == data.remit.catalog.entitlements.entitlements[remit_probe_one.id]
		],
		[remit_probe_one.code |
			is_object(remit_probe_answer)
			is_array(remit_probe_answer.reasons)
			some remit_probe_one in remit_probe_answer.reasons
			is_object(remit_probe_one)
			is_string(remit_probe_one.code)
		],
	)
}}}}
"""


def probe_edits(module: Module) -> Iterator[Edit]:
    """Yields the edits that rename the entrypoint of a module."""
    if module.package in PACKAGES and not is_test(module.path):
        for rule in module.rules:
            if rule.name == _ENTRYPOINT:
                yield Edit(rule.name_place, _HIDDEN)


def probe_modules(modules: Iterable[Module]) -> list[tuple[str, str]]:
    """Returns the modules that pass the renamed entrypoints on."""
    packages = {module.package for module in modules for _ in probe_edits(module)}
    plain = [package.removeprefix("data.") for package in sorted(packages)]
    return [(f"{package.replace('.', '/')}/remit_probe.rego", _PROBE.format(package=package)) for package in plain]


def real_entitlements(data_json: str) -> str:
    """Returns the data by which the probes know the bundle's own entitlements, as JSON text."""
    tree: Any = json.loads(data_json)
    for step in ("remit", "catalog", "entitlements", "entitlements"):
        tree = tree.get(step, {}) if isinstance(tree, dict) else {}
    return json.dumps({REAL: tree if isinstance(tree, dict) else {}})


def reasons_in(modules: Iterable[Module]) -> dict[str, tuple[str, int]]:
    """Returns every reason's code that the rules write out, with the file and line where it is written first.

    A reason is an object with the keys `code` and `message`; a code that is computed is not seen.
    """
    found: dict[str, tuple[str, int]] = {}
    for module in modules:
        if is_test(module.path):
            continue
        for node in nodes([[rule.head, *rule.bodies] for rule in module.rules]):
            fields = {
                field[1]["String"]["value"]: field[2]
                for field in node.get("Object", {}).get("fields", [])
                if "String" in field[1]
            }
            code = fields.get("code", {}).get("String")
            if code and "message" in fields:
                place = (module.path, int(code["span"]["line"]))
                found[code["value"]] = min(place, found.get(code["value"], place))
    return found
