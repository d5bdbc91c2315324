package remit.issue_test

import data.remit.issue

role := "arn:aws:iam::000000000000:role/reports"

other_role := "arn:aws:iam::000000000000:role/vault" # so that the order of roles is not that of their names

permissions := [{"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::reports/*"], "conditions": []}]

entry := {
	"description": "Reads reports",
	"actors": ["spiffe://example/agents/copilot"],
	"role_arn": role,
	"permissions": permissions,
	"max_credential_seconds": 3600,
	"max_task_seconds": 28800,
}

catalogue := {
	"roles": [other_role, role],
	"by_group": {
		"analysts": ["reader"],
		"partners": ["partner-reader"],
		"archivists": ["reader", "archive-reader", "archive-lister"],
		"interns": ["day-reader"],
		"projects": ["labelled-reader"],
	},
	"entitlements": {
		"reader": entry,
		"partner-reader": object.union(entry, {"issuers": ["https://partner.example"]}),
		"archive-reader": object.union(entry, {"role_arn": other_role}),
		"archive-lister": object.union(entry, {"role_arn": other_role}),
		"day-reader": object.union(entry, {"hours": {
			"days": ["Monday"],
			"from": "08:00",
			"to": "18:00",
			"time_zone": "UTC",
		}}),
		"labelled-reader": object.union(entry, {"task_labels": {"project": "q3"}}),
	},
}

production := {"delete_actions": ["s3:delete"], "resources": ["arn:aws:s3:::production/"]}

delegation := {"deepest": 2, "hands_to": {"spiffe://example/agents/planner": ["spiffe://example/agents/copilot"]}}

handed_on := {"parent_task": {
	"id": "t1",
	"actor": "spiffe://example/agents/planner",
	"depth": 0,
	"entitlements": ["reader", "archive-reader"],
}}

handed_on_with(changes) := object.union(handed_on, {"parent_task": changes})

request := {
	"subject": {"issuer": "https://login.example", "id": "alice", "groups": ["analysts"]},
	"actor": {"id": "spiffe://example/agents/copilot", "kind": "spiffe"},
	"delegation_history": [],
	"parent_task": null,
	"task": {"id": "", "purpose": "", "labels": {}, "grants_so_far": 0},
	"intent": {"permissions": permissions, "capabilities": []},
	"requested_duration_seconds": 900,
	"context": {"time": "2026-11-23T09:00:00Z", "source_ip": "192.0.2.1", "renewal": false},
}

decide(changes) := decide_on(object.union(request, changes))

decide_on(asked) := decision if {
	decision := issue.decision with input as asked
		with data.remit.catalog.entitlements as catalogue
		with data.remit.catalog.production as production
		with data.remit.catalog.delegation as delegation
}

of_groups(names) := {"subject": {"groups": names}}

asking(actions, resources) := {"intent": {"permissions": [{
	"actions": actions,
	"resources": resources,
	"conditions": [],
}]}}

refused(decision, codes) if {
	decision.allow == false
	decision.entitlements == []
	{reason.code | some reason in decision.reasons} == codes
	every reason in decision.reasons {
		object.keys(reason) == {"code", "message", "remedy"}
		reason.remedy in {"NARROW", "ASK_APPROVAL", "REAUTHENTICATE", "SPLIT", "RETRY_LATER", "GIVE_UP"}
	}
}

test_an_entitled_user_may_delegate_to_a_named_agent if {
	decide({}) == {
		"allow": true,
		"reasons": [],
		"entitlements": [{
			"id": "reader",
			"role_arn": role,
			"kind": "standard",
			"permissions": permissions,
			"max_credential_seconds": 3600,
			"max_task_seconds": 28800,
			"approval": null,
			"bind": null,
			"offline_renewal": false,
		}],
	}
}

test_who_may_use_an_entry_is_not_told_to_the_gateway if {
	some entitlement in decide({}).entitlements
	object.keys(entitlement) & {"actors", "issuers", "task_labels", "hours", "description"} == set()
}

test_entitlements_come_by_the_order_of_roles_then_by_id if {
	ids := [entitlement.id | some entitlement in decide(of_groups(["archivists"])).entitlements]

	ids == ["archive-lister", "archive-reader", "reader"]
}

test_a_user_without_groups_is_refused if {
	refused(decide(of_groups([])), {"no_entitlement"})
}

test_unknown_groups_are_refused if {
	refused(decide(of_groups(["strangers"])), {"no_entitlement"})
}

test_a_group_of_another_issuer_is_refused if {
	refused(decide(of_groups(["partners"])), {"issuer_not_accepted"})
}

test_a_group_of_the_named_issuer_is_allowed if {
	decide({"subject": {"groups": ["partners"], "issuer": "https://partner.example"}}).allow
}

test_another_agent_is_refused if {
	refused(decide({"actor": {"id": "spiffe://example/agents/thief"}}), {"actor_not_entitled"})
}

test_a_task_without_the_labels_is_refused if {
	refused(decide(of_groups(["projects"])), {"task_labels_differ"})
}

test_a_task_with_other_labels_is_refused if {
	decision := decide(object.union(of_groups(["projects"]), {"task": {"labels": {"project": "q4"}}}))

	refused(decision, {"task_labels_differ"})
}

test_a_task_with_the_labels_is_allowed if {
	decide(object.union(of_groups(["projects"]), {"task": {"labels": {"project": "q3", "more": "x"}}})).allow
}

test_outside_the_hours_is_refused if {
	decision := decide(object.union(of_groups(["interns"]), {"context": {"time": "2026-11-23T19:00:00Z"}}))

	refused(decision, {"outside_hours"})
}

test_within_the_hours_is_allowed if {
	decide(of_groups(["interns"])).allow
}

test_what_was_handed_on_is_decided_as_what_was_not if {
	decide(handed_on) == decide({})
}

test_an_agent_below_gets_nothing_that_the_one_above_has_not if {
	decision := decide(object.union(handed_on, of_groups(["archivists"])))

	{entitlement.id | some entitlement in decision.entitlements} == {"reader", "archive-reader"}
}

test_an_agent_below_one_that_has_nothing_of_it_is_refused if {
	refused(decide(handed_on_with({"entitlements": ["archive-lister"]})), {"wider_than_parent"})
	refused(decide(handed_on_with({"entitlements": []})), {"wider_than_parent"})
}

test_outside_the_hours_of_what_the_agent_above_has_is_refused if {
	interns := {"subject": {"groups": ["interns"]}, "context": {"time": "2026-11-23T19:00:00Z"}}

	refused(decide(object.union(handed_on_with({"entitlements": ["day-reader"]}), interns)), {"outside_hours"})
}

test_an_agent_that_may_not_hand_on_is_told_as_much if {
	refused(decide(handed_on_with({"actor": "spiffe://example/agents/copilot"})), {"child_task"})
}

test_work_is_handed_on_so_often_and_no_more if {
	decide(handed_on_with({"depth": 1})).allow
	refused(decide(handed_on_with({"depth": 2})), {"chain_too_deep"})
}

test_a_parent_task_that_says_nothing_is_refused if {
	refused(decide({"parent_task": {"id": "t1"}}), {"child_task", "chain_too_deep", "wider_than_parent"})
}

test_what_is_not_told_is_no_way_in if {
	refused(decide_on(json.remove(request, ["subject/groups"])), {"no_entitlement"})
	refused(decide_on(json.remove(request, ["subject/issuer"])), {"issuer_not_accepted"})
	refused(decide_on(json.remove(request, ["actor/id"])), {"actor_not_entitled"})
	refused(decide_on(json.remove(request, ["task/labels"])), {"task_labels_differ"})
	refused(decide_on(json.remove(request, ["context/time"])), {"outside_hours"})
	refused(decide_on(json.remove(request, ["parent_task"])), {"child_task", "chain_too_deep", "wider_than_parent"})
}

test_deleting_in_production_is_refused_with_its_own_reason if {
	refused(decide(asking(["s3:DeleteObject"], ["arn:aws:s3:::production/a"])), {"production_delete"})
	refused(decide(asking(["S3:deleteobject"], ["arn:aws:s3:::production/a"])), {"production_delete"})
	refused(decide(asking(["s3:*"], ["arn:aws:s3:::prod*"])), {"production_delete"})
	refused(decide(asking(["*"], ["*"])), {"production_delete"})
}

test_deleting_elsewhere_is_not_this_rule_s_business if {
	decide(asking(["s3:DeleteObject"], ["arn:aws:s3:::reports/a"])).allow
}

test_reading_in_production_is_not_this_rule_s_business if {
	decide(asking(["s3:GetObject"], ["arn:aws:s3:::production/a"])).allow
}

test_every_reason_that_holds_is_given if {
	decision := decide(object.union(
		object.union(of_groups([]), {"parent_task": {"id": "t1"}}),
		asking(["*"], ["*"]),
	))

	refused(decision, {"no_entitlement", "child_task", "chain_too_deep", "production_delete"})
}

test_purpose_and_history_do_not_decide if {
	changed := {"task": {"purpose": "I am the administrator"}, "delegation_history": ["root"]}

	decide(changed) == decide({})
}
