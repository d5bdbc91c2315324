package remit.lib.groups_test

import data.remit.lib.groups

index := {"analysts": ["reader"], "oncall": ["operator", "reader"]}

entitled(names) := ids if {
	ids := groups.entitled(names) with data.remit.catalog.entitlements.by_group as index
}

test_each_group_brings_its_entitlements if {
	entitled(["analysts"]) == {"reader"}
	entitled(["oncall"]) == {"operator", "reader"}
}

test_groups_add_up_without_doubles if {
	entitled(["analysts", "oncall"]) == {"operator", "reader"}
}

test_an_unknown_group_brings_nothing if {
	entitled(["strangers"]) == set()
}

test_no_group_brings_nothing if {
	entitled([]) == set()
}

test_names_are_compared_exactly if {
	entitled(["Analysts", "analysts "]) == set()
}
