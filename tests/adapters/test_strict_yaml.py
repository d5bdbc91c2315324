"""YAML as plain data: what two readers could understand differently is refused, the rest reads as JSON would."""

import pytest

from remit_server.adapters.strict_yaml import MalformedYaml, strict_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# only a comment\n", None),
        ("a: 1\nb: [true, false, null]\n", {"a": 1, "b": [True, False, None]}),
        ("a: -7\nb: 0.5\n", {"a": -7, "b": 0.5}),
        ("a: \"no\"\nb: '007'\n", {"a": "no", "b": "007"}),
        ("a: arn:aws:s3:::reports\n", {"a": "arn:aws:s3:::reports"}),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
        ("a:\n", {"a": None}),
        ("{a: {b: []}}\n", {"a": {"b": []}}),
    ],
)
def test_plain_data_is_read(text: str, value: object) -> None:
    assert strict_yaml(text)[0] == value


@pytest.mark.parametrize(
    "text",
    [
        "a: yes",
        "a: No",
        "a: ON",
        "a: y",
        "a: ~",
        "a: TRUE",
        "a: Null",
        "a: 012",
        "a: 0x1f",
        "a: 0b1",
        "a: 1_000",
        "a: 1e3",
        "a: +1",
        "a: .5",
        "a: 5.",
        "a: .inf",
        "a: -.INF",
        "a: .NaN",
        "a: 12:30",
        "a: 2026-11-23",
        "a: 2026-11-23T09:00:00Z",
        "a: 000000000000",
        "a: 99999999999999999999",
        "a: =",
        "a: 1\na: 2",
        "a: {b: 1, b: 2}",
        "1: a",
        "true: a",
        "? [a]\n: b",
        "<<: {a: 1}",
        "a: &x 1",
        "a: &x [1]\nb: *x",
        "a: !!int 3",
        "a: !!python/object:os.system x",
        "!x {a: 1}",
        "a: 1\n---\nb: 2",
        "a: [1",
        "a: b: c",
        "\ta: 1",
        "a: \x00",
        "[" * 100 + "]" * 100,
    ],
)
def test_what_has_two_meanings_is_refused(text: str) -> None:
    with pytest.raises(MalformedYaml):
        strict_yaml(text)


def test_a_fault_names_its_line() -> None:
    with pytest.raises(MalformedYaml) as raised:
        strict_yaml("a: 1\nb:\n  - c\n  - off\n")

    assert raised.value.line == 4


def test_values_know_their_lines() -> None:
    _, lines = strict_yaml("a:\n  b: 1\n  c:\n    - d\n")

    assert (lines["a",], lines["a", "b"], lines["a", "c"], lines["a", "c", 0]) == (1, 2, 3, 4)
