package remit.lib.chains_test

import data.remit.lib.chains

root := {"actor": {"id": "spiffe://a/planner"}, "parent_task": null}

child := {
	"actor": {"id": "spiffe://a/worker/one"},
	"parent_task": {"actor": "spiffe://a/planner", "depth": 0, "entitlements": ["reader"]},
}

grandchild := object.union(child, {"parent_task": {"depth": 1}})

test_the_first_agent_has_nobody_above_it if {
	chains.is_root(root)
	not chains.is_root(child)
}

test_the_first_agent_is_never_too_deep if {
	chains.is_shallow(root, 0)
}

test_each_agent_above_counts if {
	chains.is_shallow(child, 1)
	not chains.is_shallow(child, 0)
	not chains.is_shallow(grandchild, 1)
}

test_a_parent_whose_depth_is_not_known_is_too_deep if {
	not chains.is_shallow({"parent_task": {}}, 5)
}

test_work_is_handed_to_those_who_are_named if {
	chains.is_handed_on(child, ["spiffe://a/worker/*"])
	not chains.is_handed_on(child, ["spiffe://a/other/*"])
	not chains.is_handed_on(child, [])
	chains.is_handed_on(root, [])
}

test_an_agent_below_inherits_and_gains_nothing if {
	chains.is_inherited(child, "reader")
	not chains.is_inherited(child, "writer")
	chains.is_inherited(root, "writer")
}
