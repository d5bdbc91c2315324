package remit.admin_test

import data.remit.admin

by_group := {"security": ["GrantService.RevokeGrants"]}

refused(decision) if {
	decision.allow == false
	{reason.code | some reason in decision.reasons} == {"not_an_administrator"}
}

test_a_named_group_may_call_what_it_is_named_for if {
	admin.decision == {"allow": true, "reasons": []} with input as {
		"caller": {"groups": ["security"]},
		"rpc": "GrantService.RevokeGrants",
	}
		with data.remit.catalog.administration.by_group as by_group
}

test_it_may_call_nothing_else if {
	decision := admin.decision with input as {
		"caller": {"groups": ["security"]},
		"rpc": "PolicyService.ActivateRevision",
	}
		with data.remit.catalog.administration.by_group as by_group

	refused(decision)
}

test_other_groups_may_call_nothing if {
	decision := admin.decision with input as {
		"caller": {"groups": ["analysts"]},
		"rpc": "GrantService.RevokeGrants",
	}
		with data.remit.catalog.administration.by_group as by_group

	refused(decision)
}

test_an_empty_question_is_refused if {
	decision := admin.decision with input as {}

	refused(decision)
}
