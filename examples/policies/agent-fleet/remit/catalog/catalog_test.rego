# What the catalogue delegates, and lets people see, written down a second time: whoever changes it says that it was meant.
package remit.catalog_test

import data.remit.admin
import data.remit.catalog.entitlements as catalogue
import data.remit.catalog.fleet

test_roles_are_tried_in_this_order if {
	catalogue.roles == [
		"arn:aws:iam::111122223333:role/remit-tickets",
		"arn:aws:iam::111122223333:role/remit-production",
	]
}

test_groups_lead_to_these_entitlements_and_to_no_others if {
	catalogue.by_group == {
		"support": ["tickets-reader", "tickets-writer"],
		"operators": ["tickets-reader", "production-reader", "production-writer"],
	}
}

test_there_are_no_other_entitlements if {
	object.keys(catalogue.entitlements) == {"production-reader", "production-writer", "tickets-reader", "tickets-writer"}
}

test_tickets_reader_is_this_and_no_more if {
	delegated("tickets-reader") == {
		"actors": ["spiffe://acme.example/fleet/*", "spiffe://acme.example/fleet/worker/*"],
		"role_arn": "arn:aws:iam::111122223333:role/remit-tickets",
		"permissions": [{
			"actions": ["s3:GetObject"],
			"resources": ["arn:aws:s3:::acme-tickets/*"],
			"conditions": [],
		}],
		"max_credential_seconds": 3600,
		"max_task_seconds": 28800,
		"offline_renewal": true,
	}
}

test_tickets_writer_is_this_and_no_more if {
	delegated("tickets-writer") == {
		"actors": ["spiffe://acme.example/fleet/worker/*"],
		"role_arn": "arn:aws:iam::111122223333:role/remit-tickets",
		"permissions": [{
			"actions": ["s3:PutObject"],
			"resources": ["arn:aws:s3:::acme-tickets/answers/*"],
			"conditions": [],
		}],
		"max_credential_seconds": 1800,
		"max_task_seconds": 14400,
	}
}

test_production_reader_is_this_and_no_more if {
	delegated("production-reader") == {
		"actors": ["spiffe://acme.example/fleet/planner", "spiffe://acme.example/fleet/worker/fixer"],
		"role_arn": "arn:aws:iam::111122223333:role/remit-production",
		"permissions": [{
			"actions": ["s3:GetObject"],
			"resources": ["arn:aws:s3:::acme-production/*"],
			"conditions": [],
		}],
		"max_credential_seconds": 1800,
		"max_task_seconds": 14400,
	}
}

test_production_writer_is_this_and_no_more if {
	delegated("production-writer") == {
		"actors": ["spiffe://acme.example/fleet/worker/fixer"],
		"hours": {
			"days": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"],
			"from": "08:00",
			"to": "18:00",
			"time_zone": "Europe/Berlin",
		},
		"role_arn": "arn:aws:iam::111122223333:role/remit-production",
		"permissions": [{
			"actions": ["s3:PutObject"],
			"resources": ["arn:aws:s3:::acme-production/config/*"],
			"conditions": [],
		}],
		"max_credential_seconds": 900,
		"max_task_seconds": 3600,
	}
}

delegated(id) := object.remove(catalogue.entitlements[id], ["description"])

test_deepest_of_the_fleet_is_this if {
	fleet.deepest == 1
}

test_agents_of_the_fleet_are_this if {
	fleet.agents == {
		"spiffe://acme.example/fleet/planner": {
			"hands_to": ["spiffe://acme.example/fleet/worker/*"],
			"most_grants": 20,
			"longest_seconds": 1800,
		},
		"spiffe://acme.example/fleet/worker/*": {"hands_to": [], "most_grants": 5, "longest_seconds": 900},
	}
}

test_step_up_of_the_fleet_are_this if {
	fleet.step_up == {
		"production-reader": {"acr": ["mfa", "phr"], "max_age_seconds": 28800},
		"production-writer": {"acr": ["phr"], "max_age_seconds": 600},
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

own_grants := {
	"GrantService.GetGrant",
	"GrantService.ListGrants",
	"GrantService.WatchGrants",
	"GrantService.RevokeGrants",
}

test_those_whom_agents_work_for_see_and_end_their_own if {
	every group in ["support", "operators"] {
		every rpc in own_grants {
			may({"groups": [group]}, rpc).visible == ["own"]
		}
	}
}

test_they_may_nothing_else if {
	every rpc in everything - own_grants {
		not may({"groups": ["support", "operators"]}, rpc).allow
	}
}
