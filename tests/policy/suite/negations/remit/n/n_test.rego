package remit.n_test

import data.remit.n

test_member_of_nothing if not n.answer(2).ok

test_member_that_is if not n.answer(1).ok

test_member_that_is_missing if not n.answer(1).nothing

test_whole_call if not n.flag(2)

test_whole_call_that_holds if not n.flag(1)

test_argument_of_nothing if not n.flag(n.same(7))

test_argument if not n.flag(n.same(2))

test_comparison_of_nothing if not n.same(7) == 7

test_comparison if not n.same(2) == 7

test_both_sides if not n.same(1) == n.same(2)

test_both_sides_of_nothing if not n.same(1) == n.same(7)

test_membership_of_nothing if not 1 in n.answer(2).list

test_membership if not 2 in n.answer(1).list

test_in_braces if {
	true
	not n.answer(2).ok
	true
}

test_in_braces_alone if {
	not n.answer(1).nothing
}

test_in_a_comprehension if [x | some x in [1, 2]; not n.answer(x).nothing] == [1]

test_of_a_comprehension if not count([x | some x in [1, 2]; n.answer(x).ok]) == 2

test_in_every if {
	every x in [1, 1] {
		not n.answer(x).nothing
	}
}

test_in_every_of_nothing if {
	every x in [1, 2] {
		not n.answer(x).nothing
	}
}

test_with if not n.answer(1).ok with n.answer as other

test_with_nothing if not n.answer(3).ok with n.answer as other

other(x) := {"ok": false} if x == 1

test_over_lines if {
	not n.answer(
		n.same(1),
	).nothing
	input.x == 1 with input.x as 1
}

test_else if {
	not n.answer(2).ok
} else if not n.answer(1).nothing

test_in_a_function if denied(1)

test_in_a_function_of_nothing if denied(2)

denied(x) if not n.answer(x).nothing

test_in_an_object if not {"a": n.same(7)}.a == 7

test_negation_in_a_call if not count([x | some x in [1, 2]; not n.answer(x).nothing]) == 2

test_cases[note] if {
	some note, x in {"one": 1, "two": 2}
	not n.answer(x).nothing
}

