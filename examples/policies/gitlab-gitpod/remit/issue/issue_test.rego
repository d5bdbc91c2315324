package remit.issue_test

import data.remit.issue

site := "arn:aws:iam::111122223333:role/remit-site"

deploys := [{"actions": ["s3:PutObject"], "resources": ["arn:aws:s3:::acme-site/index.html"], "conditions": []}]

# A job of acme/shop/site that deploys to production from the protected main branch, as GitLab's token tells of it.
pipeline := {
	"subject": {
		"issuer": "https://gitlab.example.com",
		"id": "project_path:acme/shop/site:ref_type:branch:ref:main",
		"groups": ["acme", "acme/shop"],
		"claims": {
			"project_path": "acme/shop/site",
			"project_id": "20",
			"ref": "main",
			"ref_protected": "true",
			"environment": "production",
			"environment_protected": "true",
			"pipeline_source": "push",
		},
	},
	"actor": {"id": "gitlab:acme/shop/site", "kind": "workload", "issuer": "https://gitlab.example.com", "claims": {}},
	"delegation_history": [],
	"parent_task": null,
	"task": {"id": "", "purpose": "", "labels": {"environment": "production"}, "grants_so_far": 0},
	"intent": {"permissions": deploys, "capabilities": []},
	"requested_duration_seconds": 900,
	"context": {"time": "2026-11-23T09:00:00Z", "source_ip": "192.0.2.1", "renewal": false},
}

# A person's workspace, as Ona's token tells of it.
workspace := object.union(pipeline, {
	"subject": {
		"issuer": "https://app.gitpod.io",
		"id": "organization_id:a1b2c3d4-0000-4000-8000-000000000001:project_id:c9d0e1f2-0000-4000-8000-000000000005",
		"groups": [
			"organization:a1b2c3d4-0000-4000-8000-000000000001",
			"project:c9d0e1f2-0000-4000-8000-000000000005",
		],
		"claims": {"creator_principal": "user"},
	},
	"actor": {"id": "ona:e5f6a7b8-0000-4000-8000-000000000004"},
	"task": {"labels": {}},
})

# Replaces members at any depth; object.union joins objects, and null takes a claim away.
decide(changes) := decision if {
	decision := issue.decision with input as object.union(pipeline, changes)
}

allowed(decision) := {entitlement.id | some entitlement in decision.entitlements}

codes(decision) := {reason.code | some reason in decision.reasons}

# Asks for the deploying entitlement alone, which is what most demands are about.
deploy_codes(changes) := found if {
	decision := issue.decision with input as object.union(pipeline, changes)
		with data.remit.catalog.entitlements.by_group as {"acme/shop": ["site-deploy"]}
	found := codes(decision)
}

test_a_protected_production_job_may_deploy if {
	decision := decide({})
	decision.allow
	allowed(decision) == {"artifacts-reader", "site-deploy", "site-preview"}
}

test_an_entitlement_says_all_that_the_gateway_reads if {
	decision := decide({})
	some entitlement in decision.entitlements
	entitlement.id == "site-deploy"
	entitlement == {
		"id": "site-deploy",
		"role_arn": site,
		"kind": "standard",
		"permissions": [{
			"actions": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
			"resources": ["arn:aws:s3:::acme-site/*"],
			"conditions": [],
		}],
		"max_credential_seconds": 900,
		"max_task_seconds": 3600,
		"approval": null,
		"bind": null,
		"offline_renewal": false,
	}
}

test_roles_come_in_the_catalogues_order if {
	decision := decide({})
	[entitlement.id | some entitlement in decision.entitlements] == ["site-deploy", "site-preview", "artifacts-reader"]
}

test_a_namespace_without_entitlements_is_refused if {
	codes(decide({"subject": {"groups": ["other"]}})) == {"no_entitlement"}
}

test_another_project_of_the_namespace_previews_and_does_not_deploy if {
	decision := decide({"actor": {"id": "gitlab:acme/shop/cart"}})
	allowed(decision) == {"artifacts-reader", "site-preview"}
}

test_a_project_that_no_entitlement_names_is_refused if {
	deploy_codes({"actor": {"id": "gitlab:acme/shop/cart"}}) == {"actor_not_entitled"}
}

test_the_same_namespace_of_another_issuer_is_refused if {
	codes(decide({"subject": {"issuer": "https://gitlab.elsewhere.example"}})) == {"actor_not_entitled"}
}

test_without_the_label_nothing_is_deployed if {
	deploy_codes({"task": {"labels": {"environment": "staging"}}}) == {"task_labels_differ"}
}

test_an_unprotected_ref_does_not_deploy if {
	deploy_codes({"subject": {"claims": {"ref_protected": "false"}}}) == {"ref_not_protected"}
}

test_a_token_that_does_not_say_whether_its_ref_is_protected_does_not_deploy if {
	deploy_codes({"subject": {"claims": {"ref_protected": null}}}) == {"ref_not_protected"}
}

test_a_job_of_another_environment_does_not_deploy_whatever_its_label_says if {
	deploy_codes({"subject": {"claims": {"environment": "staging"}}}) == {"environment_differs"}
}

test_label_and_claim_must_both_name_the_environment if {
	in_production({"environment": "production"}, {"environment": "production"})
	not in_production({"environment": "production"}, {"environment": "staging"})
	not in_production({"environment": "staging"}, {"environment": "staging"})
	not in_production({}, {})
}

in_production(claims, labels) if {
	issue.in_environment(["production"]) with input as {"subject": {"claims": claims}, "task": {"labels": labels}}
}

test_a_merge_requests_pipeline_does_not_deploy if {
	deploy_codes({"subject": {"claims": {"pipeline_source": "merge_request_event"}}}) == {"source_not_accepted"}
}

test_a_project_that_took_over_the_path_does_not_deploy if {
	deploy_codes({"subject": {"claims": {"project_id": "4711"}}}) == {"project_replaced"}
}

test_everything_that_is_not_met_is_told_at_once if {
	changes := {"subject": {"claims": {"ref_protected": "false", "pipeline_source": "merge_request_event"}}}
	deploy_codes(changes) == {"ref_not_protected", "source_not_accepted"}
}

test_an_unprotected_branch_still_previews if {
	decision := decide({
		"subject": {"claims": {"ref_protected": "false", "environment": "review/1"}},
		"task": {"labels": {"environment": "review"}},
	})
	decision.allow
	allowed(decision) == {"artifacts-reader", "site-preview"}
}

test_what_one_entitlement_lacks_is_no_reason_against_another if {
	decision := decide({
		"subject": {"claims": {"pipeline_source": "schedule"}},
		"task": {"labels": {"environment": "review"}},
	})
	allowed(decision) == {"artifacts-reader"}
}

test_a_persons_workspace_reads if {
	decision := issue.decision with input as workspace
	allowed(decision) == {"workspace-reader"}
}

test_a_service_accounts_workspace_is_refused if {
	service := object.union(workspace, {"subject": {"claims": {"creator_principal": "service_account"}}})
	decision := issue.decision with input as service
	codes(decision) == {"not_a_person"}
}

test_a_task_that_is_labelled_for_production_is_told_why_it_may_not_deploy_though_it_may_preview if {
	codes(decide({"subject": {"claims": {"ref_protected": "false"}}})) == {"ref_not_protected"}
}

test_an_agent_of_an_agent_is_refused if {
	codes(decide({"parent_task": {"id": "another"}})) == {"child_task"}
}

test_every_refusal_says_what_to_do if {
	some_refused := decide({"subject": {"groups": []}})
	every reason in some_refused.reasons {
		reason.message != ""
		reason.remedy == "GIVE_UP"
	}
}

test_a_stranger_is_refused if {
	stranger := {
		"subject": {"issuer": "", "id": "", "groups": [], "claims": {}},
		"actor": {"id": ""},
		"parent_task": null,
		"task": {"labels": {}},
	}
	decision := issue.decision with input as stranger
	not decision.allow
}
