# What the catalogue delegates, and lets people see, written down a second time: whoever changes it says that it was meant.
package remit.catalog_test

import data.remit.admin
import data.remit.catalog.entitlements as catalogue
import data.remit.catalog.pipelines

test_roles_are_tried_in_this_order if {
	catalogue.roles == [
		"arn:aws:iam::111122223333:role/remit-site",
		"arn:aws:iam::111122223333:role/remit-artifacts",
	]
}

test_groups_lead_to_these_entitlements_and_to_no_others if {
	catalogue.by_group == {
		"acme": ["artifacts-reader"],
		"acme/shop": ["site-preview", "site-deploy"],
		"project:c9d0e1f2-0000-4000-8000-000000000005": ["workspace-reader"],
	}
}

test_there_are_no_other_entitlements if {
	object.keys(catalogue.entitlements) == {"artifacts-reader", "site-deploy", "site-preview", "workspace-reader"}
}

test_artifacts_reader_is_this_and_no_more if {
	delegated("artifacts-reader") == {
		"actors": ["gitlab:acme/*/*", "gitlab:acme/*"],
		"issuers": ["https://gitlab.example.com"],
		"role_arn": "arn:aws:iam::111122223333:role/remit-artifacts",
		"permissions": [{
			"actions": ["s3:GetObject"],
			"resources": ["arn:aws:s3:::acme-artifacts/shared/*"],
			"conditions": [],
		}],
		"max_credential_seconds": 3600,
		"max_task_seconds": 7200,
	}
}

test_site_preview_is_this_and_no_more if {
	delegated("site-preview") == {
		"actors": ["gitlab:acme/shop/*"],
		"issuers": ["https://gitlab.example.com"],
		"role_arn": "arn:aws:iam::111122223333:role/remit-site",
		"permissions": [{
			"actions": ["s3:GetObject", "s3:PutObject"],
			"resources": ["arn:aws:s3:::acme-site-preview/*"],
			"conditions": [],
		}],
		"max_credential_seconds": 1800,
		"max_task_seconds": 3600,
	}
}

test_site_deploy_is_this_and_no_more if {
	delegated("site-deploy") == {
		"actors": ["gitlab:acme/shop/site"],
		"issuers": ["https://gitlab.example.com"],
		"task_labels": {"environment": "production"},
		"role_arn": "arn:aws:iam::111122223333:role/remit-site",
		"permissions": [{
			"actions": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
			"resources": ["arn:aws:s3:::acme-site/*"],
			"conditions": [],
		}],
		"max_credential_seconds": 900,
		"max_task_seconds": 3600,
	}
}

test_workspace_reader_is_this_and_no_more if {
	delegated("workspace-reader") == {
		"actors": ["ona:*"],
		"issuers": ["https://app.gitpod.io"],
		"role_arn": "arn:aws:iam::111122223333:role/remit-artifacts",
		"permissions": [
			{"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::acme-artifacts/*"], "conditions": []},
			{"actions": ["s3:ListBucket"], "resources": ["arn:aws:s3:::acme-artifacts"], "conditions": []},
		],
		"max_credential_seconds": 3600,
		"max_task_seconds": 28800,
	}
}

delegated(id) := object.remove(catalogue.entitlements[id], ["description"])

test_demands_of_the_pipelines_are_this if {
	pipelines.demands == {
		"site-preview": {"sources": ["push", "web", "merge_request_event"]},
		"site-deploy": {
			"protected_ref": true,
			"environments": ["production"],
			"sources": ["push", "web"],
			"project_ids": ["20"],
		},
		"workspace-reader": {"people_only": true},
	}
}

may(caller, rpc) := decision if {
	known := {"issuer": "https://people.acme.example", "id": "olga", "kind": "person", "groups": [], "claims": {}}
	decision := admin.decision with input as {
		"caller": object.union(known, caller),
		"rpc": rpc,
		"target": null,
		"context": {"time": "2026-11-23T09:00:00Z", "source_ip": "192.0.2.7"},
	}
}

everything := {
	"GrantService.GetGrant",
	"GrantService.ListGrants",
	"GrantService.WatchGrants",
	"GrantService.RevokeGrants",
	"GrantService.ListBlocks",
	"GrantService.RemoveBlock",
	"ApprovalService.ListApprovals",
	"ApprovalService.GetApproval",
	"ApprovalService.WatchApprovals",
	"PolicyService.CheckRevision",
	"PolicyService.PublishRevision",
	"PolicyService.ListRevisions",
	"PolicyService.GetRevision",
	"PolicyService.DownloadRevision",
	"PolicyService.ActivateRevision",
	"PolicyService.SimulateDecision",
	"PolicyService.ReplayRevision",
	"PolicyService.StartShadow",
	"PolicyService.StopShadow",
	"PolicyService.GetShadow",
	"AuditService.ListEvents",
	"AuditService.WatchEvents",
	"AuditService.VerifyChain",
}

test_security_may_call_everything_and_sees_all if {
	every rpc in everything {
		may({"groups": ["security"]}, rpc) == {"allow": true, "reasons": [], "visible": "all"}
	}
}

pipeline := {
	"issuer": "https://gitlab.example.com",
	"id": "project_path:acme/policies:ref_type:branch:ref:main",
	"kind": "workload",
	"groups": ["acme", "security"],
}

pipelines_own := {
	"PolicyService.CheckRevision",
	"PolicyService.PublishRevision",
	"PolicyService.ListRevisions",
	"PolicyService.GetRevision",
	"PolicyService.DownloadRevision",
	"PolicyService.ReplayRevision",
}

test_the_pipeline_of_the_policies_publishes_and_replays if {
	every rpc in pipelines_own {
		may(pipeline, rpc) == {"allow": true, "reasons": [], "visible": "all"}
	}
}

test_it_may_nothing_else if {
	every rpc in everything - pipelines_own {
		not may(pipeline, rpc).allow
	}
}

test_the_pipeline_of_another_branch_may_nothing if {
	other := object.union(pipeline, {"id": "project_path:acme/policies:ref_type:branch:ref:try-out"})
	every rpc in everything {
		not may(other, rpc).allow
	}
}
