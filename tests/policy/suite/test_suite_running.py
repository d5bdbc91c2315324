"""What the runner of policy tests does with tests that hang, eat, shout or cannot be run at all."""

from pathlib import Path

import pytest
from tests.policy_bundles import DENY_ALL, written

from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.rego.suite.outcome import Case, Outcome, Verdict
from remit_server.adapters.rego.suite.running import Options, run_suite

HEAD = "package remit.issue_test\n\nimport data.remit.issue\n\n"
LOOPS = "count([1 | some a in numbers.range(1, 100000); some b in numbers.range(1, 100000); a + b == 0]) == 0"


async def outcomes_of(folder: Path, tests: str, **options: float) -> tuple[Outcome, ...]:
    files = {"remit/issue/issue.rego": DENY_ALL, "remit/issue/issue_test.rego": HEAD + tests}
    ran = await run_suite(read_bundle(written(folder, files)), Options(**options))  # type: ignore[arg-type]
    return ran.outcomes


async def test_a_test_that_loops_is_an_error_and_the_others_go_on(tmp_path: Path) -> None:
    tests = f"test_a if true\n\ntest_loop if {LOOPS}\n\ntest_b if true\n"

    outcomes = await outcomes_of(tmp_path, tests, seconds=0.2)

    assert [one.verdict for one in outcomes] == [Verdict.PASS, Verdict.ERROR, Verdict.PASS]
    assert "no answer within 0.2 s" in outcomes[1].detail


async def test_a_test_that_eats_memory_is_an_error_and_the_others_go_on(tmp_path: Path) -> None:
    tests = "test_a if true\n\ntest_eats if count(numbers.range(1, 200000000)) == 1\n\ntest_b if true\n"

    outcomes = await outcomes_of(tmp_path, tests, seconds=30.0)

    assert [one.verdict for one in outcomes] == [Verdict.PASS, Verdict.ERROR, Verdict.PASS]


async def test_a_suite_of_loops_is_given_up(tmp_path: Path) -> None:
    tests = "".join(f"test_{number} if {LOOPS}\n\n" for number in range(4))

    outcomes = await outcomes_of(tmp_path, tests, seconds=0.1, most_lost=2)

    assert {one.verdict for one in outcomes} == {Verdict.ERROR}
    assert [one.detail.startswith("not run") for one in outcomes] == [False, False, True, True]


async def test_two_thousand_tests_are_all_told(tmp_path: Path) -> None:
    tests = "".join(
        f"test_{number} if issue.decision.allow == {number % 2 == 1}\n\n".lower() for number in range(2_000)
    )

    outcomes = await outcomes_of(tmp_path, tests)

    assert len(outcomes) == 2_000
    assert sum(one.verdict is Verdict.PASS for one in outcomes) == 1_000


async def test_an_evaluation_that_breaks_off_leaves_nothing_to_the_next_test(tmp_path: Path) -> None:
    tests = (
        "test_breaks if {\n\t1 / 0 == issue.decision with input.x as 1 with issue.decision as 7\n}\n\n"
        "test_next if not input.x\n\ntest_last if issue.decision.allow == false\n"
    )

    outcomes = await outcomes_of(tmp_path, tests)

    assert [one.verdict for one in outcomes] == [Verdict.ERROR, Verdict.PASS, Verdict.PASS]


async def test_a_failed_test_says_where_it_came_to_and_what_it_printed(tmp_path: Path) -> None:
    tests = 'test_x if {\n\ttrue\n\tprint("seen", 1)\n\tissue.decision.allow\n\t1 == 1\n}\n'

    (outcome,) = await outcomes_of(tmp_path, tests)

    assert outcome.verdict is Verdict.FAIL
    assert (outcome.line, outcome.reached) == (5, 8)
    assert outcome.prints == ("remit/issue/issue_test.rego:7: seen 1",)
    assert outcome.detail == "its value is undefined"


async def test_cases_are_told_one_by_one(tmp_path: Path) -> None:
    tests = 'test_x[note] if {\n\tsome note, n in {"one": 1, "two": 2}\n\tn == 1\n}\n'

    (outcome,) = await outcomes_of(tmp_path, tests)

    assert outcome.verdict is Verdict.FAIL
    assert outcome.cases == (Case(("one",), passed=True), Case(("two",), passed=False))


async def test_a_function_is_no_test_and_todo_is_skipped(tmp_path: Path) -> None:
    outcomes = await outcomes_of(tmp_path, "test_f(x) if x\n\ntodo_test_g if true\n")

    assert [one.verdict for one in outcomes] == [Verdict.ERROR, Verdict.SKIPPED]


@pytest.mark.parametrize(
    ("tests", "complaint"),
    [
        ("test_x if true with nosuch as 1\n", "5: with replaces nosuch"),
        ("test_x if true with lowr.x as 1\n", "5: with replaces lowr.x"),
        ("f(a) := a\n\ntest_x if f(1) == 1 with f as abs\n", "7: the builtin abs cannot stand in"),
        ("f(a) := a\n\ng(a, b) := a\n\ntest_x if f(1) == 1 with f as g\n", "9: data.remit.issue_test.f takes 1"),
        ("test_x if {\n", "6: it is not Rego"),
        ("test_x if y == 1\n", "5: the tests cannot be run: use of undefined variable `y`"),
    ],
)
async def test_what_cannot_be_judged_is_refused_with_its_place(tmp_path: Path, tests: str, complaint: str) -> None:
    with pytest.raises(BundleRefused, match=f"remit/issue/issue_test.rego:{complaint}"):
        await outcomes_of(tmp_path, tests)


async def test_only_chosen_tests_are_run(tmp_path: Path) -> None:
    files = {
        "remit/issue/issue.rego": DENY_ALL,
        "remit/issue/issue_test.rego": f"{HEAD}test_a if true\n\ntest_b if true\n",
    }

    ran = await run_suite(read_bundle(written(tmp_path, files)), Options(chosen=lambda name: name.endswith("_b")))

    assert [one.full_name for one in ran.outcomes] == ["data.remit.issue_test.test_b"]
