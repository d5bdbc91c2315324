package remit.q_test

import data.remit.p
import data.remit.q

m(_) := 1000

m2(_, _) := 1

mb(x) if x < 5

test_via_import if q.via_import == 1000 with input.n as 1 with p.twice as m
test_via_alias if q.via_alias == 1000 with input.n as 1 with p.twice as m
test_via_pkg if q.via_pkg == 1000 with input.n as 1 with p.twice as m
test_via_full if q.via_full == 1000 with input.n as 1 with p.twice as m
test_via_brackets if q.via_brackets == 1000 with input.n as 1 with p.twice as m
test_target_brackets if q.via_full == 1000 with input.n as 1 with data.remit.p.twice as m
test_target_brackets2 if q.via_full == 1000 with input.n as 1 with data.remit.p.twice as m
test_target_brackets_not if not q.via_full == 2 with input.n as 1 with data.remit.p.twice as m
test_rule_brackets if p.lim == 3 with data.remit.q.limit as 3
test_rule_brackets2 if p.lim == 3 with data.remit.q.limit as 3
test_input_brackets if p.uses == 6 with input.n as 3
test_chain if p.chain(1) == 1000 with p.twice as m
test_compr if p.in_compr == [1000, 1000] with input.list as [1, 2] with p.twice as m
test_every if p.in_every with input.list as [1, 2] with p.twice as m
test_not if p.in_not with input.n as 1 with p.twice as m
test_head if p.in_head == {1000} with input.list as [1, 2] with p.twice as m
test_key if p.in_key == {1000: 1} with input.list as [1] with p.twice as m
test_else if p.in_else == 1000 with input.n as 1 with p.twice as m
test_args if p.in_args(1) == 1001 with p.twice as m
test_object if p.in_object == {"v": 1000, "w": [1000]} with input.n as 2 with p.twice as m
test_multi_value if p.multi(7) == "x" with p.multi as "x"
test_bool if p.uses_bool with input.n as 1 with p.bool_fn as mb
test_bool_false if not p.uses_bool with input.n as 9 with p.bool_fn as mb
test_bool_value if p.uses_bool with input.n as 1 with p.bool_fn as true
test_bool_value_false if not p.uses_bool with input.n as 10 with p.bool_fn as false
test_fallback_original if p.fallback(2) == "d"
test_ab if p.uses_ab == 1000 with input.n as 1 with p.a.b as m
test_ab_full if p.uses_ab == 1000 with input.n as 1 with data.remit.p.a.b as m
test_shadow if p.shadow(1) == 2 with count as 7
test_deny if p.deny == {"a-1000"} with input as {"msgs": ["a"], "n": 1} with p.twice as m
test_nested if p.nested_with == 1000 with p.twice as m
test_deep if p.cat == 9 with data.remit.q.deep.er.value as 9
test_deep_part if p.cat == 9 with data.remit.q.deep as {"er": {"value": 9}}
test_pkg_replaced_fn if not p.uses with input.n as 1 with data.remit.p as {"other": 1}
test_both if q.both == 2000 with input.n as 1 with p.twice as m
test_both_rule if q.both == 7 with p.uses as 5
test_two_mocks if p.uses == 1000 with input.n as 1 with p.twice as m with p.chain as m
test_same_target_twice if p.uses == 2000 with input.n as 1 with p.twice as m with p.twice as 2000
test_input_null if not p.uses with input as null
test_input_false if p.uses == 4 with input as {"n": 2} with input.m as false
test_data_false if data.remit.q.limit == false with data.remit.q.limit as false
test_data_undef_kept if data.remit.q.local_twice(1) == 1 with data.remit.q.limit as false
test_with_in_compr if {
	[x | some n in [1, 2]; x := p.uses with input.n as n] == [2, 4]
}

test_with_in_helper_fn if h(4) == 8
h(n) := x if {
	x := p.uses with input.n as n
}

test_with_var_value if {
	v := 12
	p.lim == 12 with q.limit as v
}

test_with_value_rule if p.lim == 55 with q.limit as fifty_five
fifty_five := 55
test_with_value_from_data if p.lim == 1 with q.limit as q.deep.er.value
test_with_value_uses_outer_input if inner_z with input.z as 8

inner_z if {
	x := p.lim with q.limit as input.z
	x == 8
}

test_not_with_mock if not p.uses == 2 with input.n as 1 with p.twice as m

test_some_with if {
	some x in p.in_compr with input.list as [1] with p.twice as m
	x == 1000
}

test_mock_uses_original if p.uses == 12 with input.n as 1 with p.twice as tens
tens(n) := (n * 10) + q.local_twice(2)
test_mock_calls_itself_original if p.uses == 102 with input.n as 1 with p.twice as plus_hundred
plus_hundred(n) := 100 + p.twice(n)
test_startswith if deco("ab") with startswith as false
deco(x) if not startswith(x, "a")
test_object_get if data.remit.q_test.og == 5 with object.get as 5
og := object.get({}, "x", 1)
test_sprintf if data.remit.q_test.sp == "no" with sprintf as "no"
sp := sprintf("%d", [1])
test_in if 3 in [1] with input as {}
test_cidr if data.remit.q_test.ci with net.cidr_contains as true
ci if net.cidr_contains("10.0.0.0/8", "11.0.0.1")
