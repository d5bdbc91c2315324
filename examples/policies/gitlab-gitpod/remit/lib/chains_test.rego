package remit.lib.chains_test

import data.remit.lib.chains

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
