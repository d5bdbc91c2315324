"""Intents as Hypothesis makes them: every one that may be asked for, and JSON that is nearly one."""

from typing import Any

from hypothesis import strategies as st

import remit

NAMES = "abcxyz0189"
REACHING = st.text(alphabet="ab/*?.=, -:'arn", max_size=20)


def words(alphabet: str, most: int) -> st.SearchStrategy[str]:
    return st.text(alphabet=alphabet, min_size=1, max_size=most)


def is_literal(value: str) -> bool:
    return "//" not in value and not {".", ".."} & set(value.split("/"))


ACTIONS = st.builds("{}:{}".format, words(NAMES + "-", 12), words("GetPutObject*?", 12))
ARNS = st.builds(
    "arn:{}:{}:{}:{}:{}{}".format,
    st.sampled_from(["aws", "aws-cn"]),
    words(NAMES, 8),
    st.sampled_from(["", "*", "eu-central-1"]),
    st.sampled_from(["", "*", "111122223333"]),
    REACHING,
    words("ab/*?,:", 3),
)
RESOURCES = st.one_of(st.just("*"), ARNS)
VALUES = st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20).filter(
    lambda value: "${" not in value
)
CONDITIONS = st.builds(
    remit.Condition,
    st.sampled_from(["StringLike", "ForAllValues:StringEquals", "NumericLessThanEqualsIfExists", "Null"]),
    st.sampled_from(["s3:prefix", "aws:ResourceTag/team"]),
    st.lists(VALUES, min_size=1, max_size=3),
)
PERMISSIONS = st.builds(
    remit.Permission,
    st.lists(ACTIONS, min_size=1, max_size=3),
    st.lists(RESOURCES, min_size=1, max_size=3),
    st.lists(CONDITIONS, max_size=2),
)
LITERALS = st.text(alphabet="ab/ .=,:'-", min_size=1, max_size=12).filter(is_literal)
CAPABILITIES = st.builds(
    lambda name, parameters: remit.Capability(name, **parameters),
    st.from_regex(r"[a-z][a-z0-9]{0,5}(\.[a-z_]{1,6})?", fullmatch=True),
    st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True), LITERALS, max_size=4),
)
VISIBLE = st.text(alphabet=st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=20)
INTENTS = st.builds(
    remit.TaskIntent,
    st.one_of(st.none(), VISIBLE.filter(bool)),
    st.lists(PERMISSIONS, max_size=3).map(tuple),
    st.lists(CAPABILITIES, max_size=3).map(tuple),
    st.dictionaries(words(NAMES + "_-", 8), VISIBLE, max_size=3),
).filter(lambda intent: bool(intent.allow))

JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.lists(st.text(max_size=2), max_size=2),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    st.sampled_from(["", "*", "a*", "${aws:username}", "a\n", "\u202e", "x" * 129, "x" * 513, "..", "a//b", "\u00e9"]),
)  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Returns the path of every value within, the outermost first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in _places(item, (*path, key)))]


@st.composite
def nearly(draw: st.DrawFn, document: Any) -> Any:
    """Changes one value of a document, drops it, or gives an object one member more."""
    holder = [document]
    path: tuple[Any, ...] = (0, *draw(st.sampled_from(_places(document))))
    above, last = path[:-1], path[-1]
    place: Any = holder
    for key in above:
        place = place[key]
    change = draw(st.sampled_from(["replace", "drop", "add", "repeat"]))
    if change == "drop" and above:
        del place[last]
    elif change == "add" and isinstance(place[last], dict):
        place[last][draw(st.sampled_from(["purpose", "type", "Action", "Labels", "x\n", "_", "a" * 65]))] = draw(JUNK)
    elif change == "repeat" and isinstance(place[last], list):
        place[last] *= draw(st.integers(2, 60))
    else:
        place[last] = draw(JUNK)
    return holder[0]
