package remit.p_test

import data.remit.p
import data.remit.p.allow
import data.remit.p.twice as doubled
import data.remit.q as other

mock_ns(_) := 42

mock_true(_, _, _) := true

mock_false(_, _, _) := false

mock_lower(_) := "mocked"

mock_partly(x) := 1 if x == "nothing"

mock_add(n) := n + 100

mock_upper(text) := sprintf("%s ", [text])

mock_by_input(_) := input.m

mock_around(text) := concat("", [lower(text), "X"])

lowered(text) := lower(text)

rule_of_test := "its own"

rule_of_test_read := rule_of_test

inner if lower("A") == "second" with lower as "second"

# --- input and data ---

test_input if p.allow with input as {"x": 1}

test_input_part if p.allow with input.x as 1

test_input_then_part if p.allow with input as {"y": 1} with input.x as 1

test_input_differs if not p.allow with input as {"x": 2}

test_imported_rule if allow with input.x as 1

test_data if data.remit.zz.w == 7 with data.remit.zz.w as 7

test_rule_of_a_package if p.allow with p.allow as true

test_rule_by_its_path if p.allow with data.remit.p.allow as true

test_rule_that_another_reads if p.indirect == 9 with data.remit.q.val as 9

test_rule_by_an_alias if p.indirect == 9 with other.val as 9

test_rule_of_its_own_package if rule_of_test_read == 1 with rule_of_test as 1

test_part_of_a_document if data.remit.p.obj == {"a": 5, "b": 2} with data.remit.p.obj.a as 5

test_set if data.remit.p.s == {9} with p.s as {9} with input.list as [1]

test_object if p.partial.a == 9 with p.partial as {"a": 9}

test_default if p.dd == "q" with p.dd as "q"

test_whole_package if data.remit.q.val == 1 with data.remit.q as {"val": 1}

test_rules_come_before_data_of_their_package if data.remit.q.other == 1 with data.remit.q as {"other": 1} with input.v as 3

test_package_replaced if not data.remit.q.val with data.remit.q as {"other": 1} with input.v as 3

test_nothing_is_left_over if {
	p.allow with input.x as 1
	not p.allow
	data.remit.zz.w == 7 with data.remit.zz.w as 7
	not data.remit.zz.w
}

test_in_a_comprehension if [y | y := p.uses with input.n as 4] == [8]

test_in_every if {
	every n in [1, 2] {
		p.uses == n * 2 with input.n as n
	}
}

# --- functions ---

test_builtin if p.ns == 42 with input.t as "x" with time.parse_rfc3339_ns as mock_ns

test_builtin_by_value if p.ns == 43 with input.t as "x" with time.parse_rfc3339_ns as 43

test_glob_match if p.g with input.s as "zzz" with glob.match as mock_true

test_glob_match_false if not p.g with input.s as "aaa" with glob.match as mock_false

test_glob_match_by_value if p.g with input.s as "zzz" with glob.match as true

test_regex_match if p.r with input.s as "zzz" with regex.match as true

test_lower if p.l == "mocked" with input.s as "zzz" with lower as mock_lower

test_lower_by_value if p.l == "value" with input.s as "zzz" with lower as "value"

test_lower_undefined if not p.l with input.s as "zzz" with lower as mock_partly

test_count if p.cnt == 3 with input.list as [1] with count as 3

test_direct if lower("ABC") == "mocked" with lower as mock_lower

test_function_of_the_test if lowered("A") == "mocked" with lower as mock_lower

test_original_in_its_place if lower("A") == "aX" with lower as mock_around

test_inner_with_wins if {
	inner with lower as mock_lower
}

test_mock_sees_the_input if p.l == "fromin" with input as {"s": "A", "m": "fromin"} with lower as mock_by_input

test_other_function_of_that_name if {
	other.says("A") == "q"
	other.says("A") == "q" with lower as mock_lower
}

test_function if p.uses == 101 with input.n as 1 with data.remit.p.twice as mock_add

test_function_by_its_package if p.uses == 101 with input.n as 1 with p.twice as mock_add

test_function_by_an_alias if p.uses == 101 with input.n as 1 with doubled as mock_add

test_function_by_value if p.uses == 5 with input.n as 1 with data.remit.p.twice as 5

test_function_not_replaced if not p.uses == 2 with input.n as 1 with p.twice as mock_add

test_function_by_function if p.uses_lower("ABC") == "ABC " with lower as mock_upper

test_function_deep if p.deep == 102 with input.n as 1 with p.twice as mock_add

test_restored_after if {
	p.uses == 101 with input.n as 1 with p.twice as mock_add
	p.uses == 2 with input.n as 1
	p.uses_lower("ABC") == "abc"
	p.uses_lower("ABC") == "mocked" with lower as mock_lower
	p.uses_lower("ABC") == "abc"
}

# --- what is not true ---

test_undefined if input.nothing

test_false := false

test_null := null

test_number := 1

test_an_object := {"a": 1}

test_array := []

test_contains contains "x"

test_key.b if true

test_key.c if false

test_input_wrong if p.allow with input.x as 2

test_lower_wrong if p.l == "zzz" with input.s as "zzz" with lower as mock_lower

test_function_wrong if p.uses == 2 with input.n as 1 with p.twice as mock_add

test_print if {
	print("hello", input)
	false
}

# --- several of a name, defaults, else ---

test_several if false

test_several if true

test_several if true

default test_default := false

test_else if {
	false
} else := true

todo_test_later if false

# --- cases ---

test_cases[note] if {
	some note, case in {"one": 1, "two": 2}
	case == 1
}

test_all_cases_pass[note] if {
	some note, case in {"one": 1, "two": 2}
	p.uses == case * 2 with input.n as case
}

test_nested_cases[group][note] if {
	some group, cases in {"a": {"one": 1}, "b": {"two": 2, "three": 1}}
	some note, case in cases
	case == 1
}

test_no_case[note] if {
	some note, case in {}
	case == 1
}

test_case_by_assignment[note] if {
	some case in [{"note": "good", "n": 1}, {"note": "bad", "n": 2}]
	note := case.note
	case.n == 1
}

test_bare_case[note] if some note in ["x", "y"]
