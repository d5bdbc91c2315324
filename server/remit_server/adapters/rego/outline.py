"""What a bundle's rules are, whatever they look like: a digest per rule that no comment and no layout changes.

Made where the syntax tree is made, in a worker that may die of it; the parent only gets digests and literal texts.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from remit_server.adapters.rego.syntax import Node, rules_of

MAX_LITERALS: Final = 1_000
MAX_LITERAL: Final = 512
_PLACES: Final = frozenset({"line", "col", "start", "end"})
# Where a node stands, and the numbers that the engine gives its nodes: neither is what it says.
_NOT_MEANT: Final = frozenset({"span", "eidx", "sidx", "qidx"})
_PLAIN: Final = re.compile(r"[A-Za-z0-9_]+")


def outline(trees: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the rules as [path, file, digest], the texts that stand in them, and what of the input they read."""
    rules: list[list[str]] = []
    literals: set[str] = set()
    reads: set[str] = set()
    for tree in trees:
        contents = str(tree["source"]["contents"]).encode("utf-8")
        shared = _plain([tree["ast"]["package"], tree["ast"]["imports"]], contents)
        for rule, node in zip(rules_of(tree), tree["ast"]["rules"], strict=True):
            told = json.dumps([shared, _plain(node, contents)], sort_keys=True)
            rules.append([rule.path, rule.file, hashlib.sha256(told.encode()).hexdigest()])
            reads.update(reference.name for reference in rule.references if reference.name.partition(".")[0] == "input")
            literals.update(_literals(node))
    kept = sorted(text for text in literals if 0 < len(text) <= MAX_LITERAL)
    return {
        "rules": sorted(rules),
        "literals": kept[:MAX_LITERALS],
        "literals_left_out": len(literals) - len(kept[:MAX_LITERALS]),
        "reads": sorted(reads),
    }


def _plain(node: Any, contents: bytes) -> Any:
    """Returns a node without places; a name that the tree only has as a place is put there as its text.

    A number goes by its spelling too, since the tree may have rounded it.
    """
    if isinstance(node, list):
        return [_plain(item, contents) for item in node]
    if not isinstance(node, dict):
        return node
    if node.keys() == _PLACES:
        text = _text(node, contents)
        return text if _PLAIN.fullmatch(text) else ""
    plain = {key: _plain(value, contents) for key, value in node.items() if key not in _NOT_MEANT}
    if "Number" in node:
        plain["spelled"] = _text(node["Number"]["span"], contents)
    return plain


def _literals(root: Any) -> Iterator[str]:
    """Yields every text that stands in a rule, without recursion."""
    waiting: list[Any] = [root]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, dict):
            for kind in ("String", "RawString"):
                if kind in item:
                    yield str(item[kind]["value"])
            waiting.extend(value for value in item.values() if isinstance(value, dict | list))


def _text(span: Node, contents: bytes) -> str:
    """Returns the source text of a place, whose bounds count bytes."""
    return contents[span["start"] : span["end"]].decode("utf-8", errors="replace")
