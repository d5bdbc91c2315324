package remit.lib.chains_test

import data.remit.lib.chains

hands_to := {
	"spiffe://example/planner": ["spiffe://example/worker/*"],
	"corp:planner": ["corp:fixer"],
}

entries := {"reader": "may read", "writer": "may write"}

below(actor, parent) := {"actor": {"id": actor}, "parent_task": parent}

test_without_a_parent_task_it_is_the_root if {
	chains.is_root({"parent_task": null})
}

test_with_a_parent_task_it_is_not if {
	not chains.is_root({"parent_task": {"id": "t1"}})
}

test_what_does_not_say_is_not_the_root if {
	not chains.is_root({})
}

test_history_does_not_decide if {
	chains.is_root({"parent_task": null, "delegation_history": ["another agent"]})
}

test_the_root_is_handed_on_by_nobody_and_has_what_the_user_has if {
	not chains.is_handed_on(below("corp:fixer", null), hands_to)
	chains.inherited({"parent_task": null}, entries) == entries
}

test_so_many_agents_may_stand_above_and_no_more if {
	chains.is_shallow({"parent_task": {"depth": 0}}, 1)
	chains.is_shallow({"parent_task": {"depth": 1}}, 2)
	not chains.is_shallow({"parent_task": {"depth": 0}}, 0)
	not chains.is_shallow({"parent_task": {"depth": 2}}, 2)
}

test_a_depth_that_is_not_told_is_too_deep if {
	not chains.is_shallow({"parent_task": {"id": "t1"}}, 9)
}

test_work_is_handed_on_by_whom_and_to_whom_is_said if {
	chains.is_handed_on(below("spiffe://example/worker/a", {"actor": "spiffe://example/planner"}), hands_to)
	chains.is_handed_on(below("corp:fixer", {"actor": "corp:planner"}), hands_to)
}

test_work_is_handed_on_by_nobody_else_and_to_nobody_else if {
	not chains.is_handed_on(below("corp:fixer", {"actor": "spiffe://example/planner"}), hands_to)
	not chains.is_handed_on(below("spiffe://example/worker/a", {"actor": "corp:planner"}), hands_to)
	not chains.is_handed_on(below("spiffe://example/worker/a", {"actor": "spiffe://example/worker/a"}), hands_to)
	not chains.is_handed_on(below("spiffe://example/worker/a", {"id": "t1"}), hands_to)
	not chains.is_handed_on(below("spiffe://example/worker/a", {"actor": "spiffe://example/planner"}), {})
}

test_an_agent_below_has_what_the_one_above_has_and_nothing_else if {
	chains.inherited({"parent_task": {"entitlements": ["reader"]}}, entries) == {"reader": "may read"}
	chains.inherited({"parent_task": {"entitlements": ["reader", "writer", "other"]}}, entries) == entries
	chains.inherited({"parent_task": {"entitlements": []}}, entries) == {}
	chains.inherited({"parent_task": {"id": "t1"}}, entries) == {}
	chains.inherited({}, entries) == {}
}
