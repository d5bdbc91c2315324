package remit.issue_test

import data.remit.issue

planner := "spiffe://acme.example/fleet/planner"

fixer := "spiffe://acme.example/fleet/worker/fixer"

# 2026-11-23T09:00:00Z, a Monday, 10:00 in Berlin.
monday := "2026-11-23T09:00:00Z"

signed_in(seconds_ago) := 1795424400 - seconds_ago

# An operator who signed in with a passkey five minutes ago speaks to the planner.
request := {
	"subject": {
		"issuer": "https://login.acme.example",
		"id": "olga",
		"groups": ["operators"],
		"claims": {},
		"auth_time": signed_in(300),
		"acr": "phr",
		"amr": ["hwk"],
	},
	"actor": {"id": planner, "kind": "spiffe", "issuer": "spiffe://acme.example", "claims": {}},
	"delegation_history": [],
	"parent_task": null,
	"task": {"id": "", "purpose": "", "labels": {}, "grants_so_far": 0},
	"intent": {
		"permissions": [{
			"actions": ["s3:GetObject"],
			"resources": ["arn:aws:s3:::acme-production/config/a"],
			"conditions": [],
		}],
		"capabilities": [],
	},
	"requested_duration_seconds": 900,
	"context": {"time": monday, "source_ip": "192.0.2.1", "renewal": false},
}

# The planner hands a part of that to the fixer.
handed_on := {
	"actor": {"id": fixer},
	"parent_task": {
		"actor": planner,
		"depth": 0,
		"entitlements": ["production-reader", "production-writer", "tickets-reader"],
	},
}

decide(changes) := decision if {
	decision := issue.decision with input as object.union(request, changes)
}

of_fixer(changes) := decide(object.union(handed_on, changes))

asks(action, resource) := {"intent": {"permissions": [{
	"actions": [action],
	"resources": [resource],
	"conditions": [],
}]}}

# Asks as the fixer for what changes production, and may be had by that entitlement alone.
writing(changes) := decision if {
	asked := object.union(of_fixer_asking, changes)
	decision := issue.decision with input as asked
		with data.remit.catalog.entitlements.by_group as {"operators": ["production-writer"]}
}

of_fixer_asking := object.union(
	object.union(request, handed_on),
	asks("s3:PutObject", "arn:aws:s3:::acme-production/config/a"),
)

allowed(decision) := {entitlement.id | some entitlement in decision.entitlements}

codes(decision) := {reason.code | some reason in decision.reasons}

remedies(decision) := {reason.remedy | some reason in decision.reasons}

test_the_planner_reads if {
	allowed(decide({})) == {"production-reader", "tickets-reader"}
}

test_a_worker_that_was_handed_the_work_does_it if {
	allowed(of_fixer({})) == {"production-reader", "production-writer", "tickets-reader"}
}

test_an_answer_says_all_that_the_gateway_reads if {
	some entitlement in decide({}).entitlements
	entitlement == {
		"id": "tickets-reader",
		"role_arn": "arn:aws:iam::111122223333:role/remit-tickets",
		"kind": "standard",
		"permissions": [{
			"actions": ["s3:GetObject"],
			"resources": ["arn:aws:s3:::acme-tickets/*"],
			"conditions": [],
		}],
		"max_credential_seconds": 1800,
		"max_task_seconds": 28800,
		"approval": null,
		"bind": null,
		"offline_renewal": true,
	}
}

test_credentials_are_cut_to_what_the_agents_kind_may_have if {
	{entitlement.max_credential_seconds | some entitlement in decide({}).entitlements} == {1800}
	{entitlement.max_credential_seconds | some entitlement in of_fixer({}).entitlements} == {900}
}

test_a_worker_files_answers_for_support if {
	of_clerk := {
		"subject": {"groups": ["support"]},
		"actor": {"id": "spiffe://acme.example/fleet/worker/clerk"},
		"parent_task": {"actor": planner, "depth": 0, "entitlements": ["tickets-reader", "tickets-writer"]},
	}
	allowed(decide(of_clerk)) == {"tickets-reader", "tickets-writer"}
}

test_an_agent_that_the_fleet_does_not_have_is_refused if {
	"unknown_agent" in codes(decide({"actor": {"id": "spiffe://acme.example/fleet/stranger"}}))
}

test_an_agent_that_has_had_its_grants_is_refused if {
	of_fixer({"task": {"grants_so_far": 4}}).allow
	codes(of_fixer({"task": {"grants_so_far": 5}})) == {"grants_spent"}
}

test_an_agent_of_a_worker_is_too_deep if {
	codes(of_fixer({"parent_task": {"depth": 1}})) == {"chain_too_deep"}
}

test_a_worker_hands_nothing_on if {
	codes(of_fixer({"parent_task": {"actor": fixer}})) == {"not_handed_on"}
}

test_whom_the_fleet_does_not_have_hands_nothing_on if {
	codes(of_fixer({"parent_task": {"actor": "spiffe://elsewhere.example/planner"}})) == {"not_handed_on"}
}

test_a_user_without_entitlements_is_refused if {
	codes(decide({"subject": {"groups": ["visitors"]}})) == {"no_entitlement"}
}

test_an_agent_below_has_no_more_than_the_one_above if {
	allowed(of_fixer({"parent_task": {"entitlements": ["tickets-reader"]}})) == {"tickets-reader"}
	codes(of_fixer({"parent_task": {"entitlements": []}})) == {"wider_than_parent"}
}

test_production_is_changed_in_working_hours_only if {
	writing({}).allow
	codes(writing({"context": {"time": "2026-11-22T09:00:00Z"}})) == {"outside_hours"}
	remedies(writing({"context": {"time": "2026-11-22T09:00:00Z"}})) == {"RETRY_LATER"}
}

test_a_weak_login_is_asked_to_be_stronger if {
	codes(writing({"subject": {"acr": "mfa"}})) == {"stronger_login_needed"}
	remedies(writing({"subject": {"acr": "mfa"}})) == {"REAUTHENTICATE"}
}

test_an_old_login_is_asked_to_be_made_again if {
	codes(writing({"subject": {"auth_time": signed_in(601)}})) == {"login_too_old"}
	remedies(writing({"subject": {"auth_time": signed_in(601)}})) == {"REAUTHENTICATE"}
}

test_who_has_nothing_without_a_better_login_is_told_so_whatever_is_asked if {
	elsewhere := object.union({"subject": {"acr": "pwd"}}, asks("s3:GetObject", "arn:aws:s3:::elsewhere/a"))
	codes(writing(elsewhere)) == {"stronger_login_needed"}
}

test_a_token_that_tells_neither_is_asked_for_both if {
	codes(writing({"subject": {"acr": "", "auth_time": 0}})) == {"login_too_old", "stronger_login_needed"}
}

test_what_takes_no_step_up_is_had_by_any_login if {
	weak := {"subject": {"acr": "", "auth_time": 0}}
	tickets := object.union(weak, asks("s3:GetObject", "arn:aws:s3:::acme-tickets/1"))
	allowed(decide(tickets)) == {"tickets-reader"}
}

test_whoever_asks_for_production_with_a_weak_login_is_told_to_sign_in_though_there_is_more_to_be_had if {
	codes(decide({"subject": {"acr": "pwd"}})) == {"stronger_login_needed"}
	wildcards := object.union({"subject": {"acr": "pwd"}}, asks("s3:*", "arn:aws:s3:::acme-*"))
	codes(decide(wildcards)) == {"stronger_login_needed"}
}

test_a_stranger_is_refused if {
	stranger := {
		"subject": {"issuer": "", "id": "", "groups": [], "claims": {}, "auth_time": 0, "acr": ""},
		"actor": {"id": ""},
		"parent_task": null,
		"task": {"labels": {}, "grants_so_far": 0},
		"context": {"time": monday},
	}
	decision := issue.decision with input as stranger
	not decision.allow
}
