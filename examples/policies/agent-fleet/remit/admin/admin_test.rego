package remit.admin_test

import data.remit.admin

login := "https://login.sandbox.test"

by_group := {
	"security": [{"may": ["GrantService.RevokeGrants", "GrantService.ListGrants"], "visible": "all"}],
	"staff": [{"may": ["GrantService.ListGrants"], "visible": "own", "issuers": [login]}],
	"data": [{"may": ["GrantService.ListGrants"], "visible": [{"accounts": ["111122223333"]}]}],
}

by_caller := {
	"spiffe://remit.sandbox": {"spiffe://remit.sandbox/ops/soar": [{
		"may": ["AuditService.WatchEvents"],
		"visible": "all",
	}]},
	gitlab: {pipeline: [{
		"may": ["PolicyService.PublishRevision", "PolicyService.ReplayRevision"],
		"visible": "all",
	}]},
}

gitlab := "https://gitlab.acme.example"

pipeline := "project_path:security/policies:ref_type:branch:ref:main"

asked(caller, rpc) := decision if {
	known := {"issuer": login, "id": "olga", "kind": "person", "groups": [], "claims": {}}
	decision := admin.decision with input as {
		"caller": object.union(known, caller),
		"rpc": rpc,
		"target": null,
		"context": {"time": "2026-11-23T09:00:00Z", "source_ip": "192.0.2.7"},
	}
		with data.remit.catalog.administration.by_group as by_group
		with data.remit.catalog.administration.by_caller as by_caller
}

refused(decision) if {
	decision.allow == false
	decision.visible == null
	{reason.code | some reason in decision.reasons} == {"not_an_administrator"}
}

test_the_pipeline_of_the_policies_publishes_and_replays if {
	caller := {"issuer": gitlab, "id": pipeline, "kind": "workload"}
	asked(caller, "PolicyService.PublishRevision").visible == "all"
	asked(caller, "PolicyService.ReplayRevision").visible == "all"
}

test_it_activates_nothing if {
	refused(asked({"issuer": gitlab, "id": pipeline, "kind": "workload"}, "PolicyService.ActivateRevision"))
}

test_the_pipeline_of_another_branch_is_nobody if {
	other := "project_path:security/policies:ref_type:branch:ref:try-out"
	refused(asked({"issuer": gitlab, "id": other, "kind": "workload"}, "PolicyService.PublishRevision"))
}

test_a_named_group_may_call_what_it_is_named_for if {
	asked({"groups": ["security"]}, "GrantService.RevokeGrants") == {"allow": true, "reasons": [], "visible": "all"}
}

test_it_may_call_nothing_else if {
	refused(asked({"groups": ["security"]}, "PolicyService.ActivateRevision"))
}

test_other_groups_may_call_nothing if {
	refused(asked({"groups": ["analysts"]}, "GrantService.RevokeGrants"))
}

test_people_of_a_group_may_see_their_own_grants_only if {
	asked({"groups": ["staff"]}, "GrantService.ListGrants").visible == ["own"]
}

test_what_is_visible_adds_up if {
	asked({"groups": ["staff", "data"]}, "GrantService.ListGrants").visible == ["own", {"accounts": ["111122223333"]}]
	asked({"groups": ["staff", "security"]}, "GrantService.ListGrants").visible == "all"
}

test_another_issuers_group_of_that_name_is_another_group if {
	refused(asked({"issuer": "https://elsewhere.test", "groups": ["staff"]}, "GrantService.ListGrants"))
}

test_a_pipelines_group_of_that_name_is_nobodys if {
	refused(asked({"kind": "workload", "groups": ["security"]}, "GrantService.ListGrants"))
}

soar := {"issuer": "spiffe://remit.sandbox", "id": "spiffe://remit.sandbox/ops/soar", "kind": "workload"}

test_a_workload_is_named_itself if {
	asked(soar, "AuditService.WatchEvents").allow
	refused(asked(soar, "AuditService.VerifyChain"))
	refused(asked(object.union(soar, {"issuer": login}), "AuditService.WatchEvents"))
}

test_an_empty_question_is_refused if {
	decision := admin.decision with input as {}

	refused(decision)
}
