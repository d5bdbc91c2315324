# What the catalogue delegates, and lets people see, written down a second time: whoever changes it says here that it was
# meant.
package remit.catalog_test

import data.remit.admin
import data.remit.issue

copilot := "spiffe://remit.sandbox/agent/copilot"

reporter := "sandbox:reporter"

another := "spiffe://remit.sandbox/agent/another"

stranger := "spiffe://elsewhere.test/agent/copilot"

emergency := {"emergency": "declared"}

reports := "arn:aws:iam::111122223333:role/remit-reports"

orders := "arn:aws:iam::111122223333:role/remit-data"

answer(groups, actor, labels) := decision if {
	decision := issue.decision with input as {
		"subject": {"issuer": "https://login.sandbox.test", "id": "alice", "groups": groups},
		"actor": {"id": actor, "kind": "spiffe"},
		"parent_task": null,
		"task": {"id": "", "labels": labels},
		"intent": {"permissions": [], "capabilities": []},
		"context": {"time": "2026-11-23T09:00:00Z"},
	}
}

test_each_group_delegates_this_to_that_agent[note] if {
	some note, case in {
		"analysts to the copilot": {
			"groups": ["analysts"],
			"actor": copilot,
			"labels": {},
			"ids": {"reports-reader", "reports-publisher"},
		},
		"analysts to the copilot in an emergency": {
			"groups": ["analysts"],
			"actor": copilot,
			"labels": emergency,
			"ids": {"reports-reader", "reports-publisher", "reports-rescue"},
		},
		"analysts to another agent in an emergency": {
			"groups": ["analysts"],
			"actor": another,
			"labels": emergency,
			"ids": {"reports-reader"},
		},
		"analysts to the reporter": {
			"groups": ["analysts"],
			"actor": reporter,
			"labels": emergency,
			"ids": {"reports-reader"},
		},
		"engineers to the copilot": {
			"groups": ["engineers"],
			"actor": copilot,
			"labels": emergency,
			"ids": {"reports-writer", "orders-reader", "orders-writer"},
		},
		"engineers to another agent": {
			"groups": ["engineers"],
			"actor": another,
			"labels": {},
			"ids": {"reports-writer", "orders-reader"},
		},
		"engineers to the reporter": {
			"groups": ["engineers"],
			"actor": reporter,
			"labels": {},
			"ids": set(),
		},
		"everybody to a stranger": {
			"groups": ["analysts", "engineers"],
			"actor": stranger,
			"labels": emergency,
			"ids": set(),
		},
	}
	answered := answer(case.groups, case.actor, case.labels)
	{entitlement.id | some entitlement in answered.entitlements} == case.ids
}

crawler := "spiffe://remit.sandbox/agent/crawler"

handed(above, below, depth) := decision if {
	decision := issue.decision with input as {
		"subject": {"issuer": "https://login.sandbox.test", "id": "alice", "groups": ["analysts", "engineers"]},
		"actor": {"id": below, "kind": "spiffe"},
		"parent_task": {"id": "t1", "actor": above, "depth": depth, "entitlements": ["reports-reader", "orders-writer"]},
		"task": {"id": "t2", "labels": {}},
		"intent": {"permissions": [], "capabilities": []},
		"context": {"time": "2026-11-23T09:00:00Z"},
	}
}

test_the_copilot_hands_work_to_the_crawler_and_nobody_else_does if {
	[entitlement.id | some entitlement in handed(copilot, crawler, 0).entitlements] == ["reports-reader"]
	every pair in [[crawler, copilot], [copilot, another], [another, crawler], [copilot, reporter], [copilot, copilot]] {
		"child_task" in {reason.code | some reason in handed(pair[0], pair[1], 0).reasons}
	}
}

test_the_crawler_is_the_last if {
	{reason.code | some reason in handed(copilot, crawler, 1).reasons} == {"chain_too_deep"}
}

test_each_entitlement_delegates_just_this[id] if {
	some id, expected in delegated
	found := answer(["analysts", "engineers"], copilot, emergency).entitlements
	[object.remove(entitlement, ["id"]) | some entitlement in found; entitlement.id == id] == [expected]
}

plain := {"kind": "standard", "approval": null, "bind": null, "offline_renewal": false}

by_security(seconds) := {"groups": ["security"], "by": "others", "min_approvers": 1, "valid_seconds": seconds}

may(actions, resources) := {"actions": actions, "resources": resources, "conditions": []}

publishing := [may(["s3:PutObject"], ["arn:aws:s3:::reports/2026/*"])]

table := "arn:aws:dynamodb:eu-central-1:111122223333:table/orders"

secret := "arn:aws:secretsmanager:eu-central-1:111122223333:secret:app/config-??????"

delegated := {
	"reports-reader": object.union(plain, {
		"role_arn": reports,
		"permissions": [
			may(["s3:GetObject"], ["arn:aws:s3:::reports/2026/*"]),
			may(["s3:ListBucket"], ["arn:aws:s3:::reports"]),
		],
		"max_credential_seconds": 3600,
		"max_task_seconds": 28800,
	}),
	"reports-writer": object.union(plain, {
		"role_arn": reports,
		"permissions": [may(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], ["arn:aws:s3:::reports/drafts/*"])],
		"max_credential_seconds": 1800,
		"max_task_seconds": 14400,
	}),
	"orders-reader": object.union(plain, {
		"role_arn": orders,
		"permissions": [
			may(["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query"], [table]),
			may(["secretsmanager:GetSecretValue"], [secret]),
		],
		"max_credential_seconds": 3600,
		"max_task_seconds": 14400,
	}),
	"orders-writer": object.union(plain, {
		"role_arn": orders,
		"permissions": [may(["dynamodb:PutItem", "dynamodb:UpdateItem"], [table])],
		"max_credential_seconds": 1800,
		"max_task_seconds": 7200,
	}),
	"reports-publisher": object.union(plain, {
		"role_arn": reports,
		"permissions": publishing,
		"max_credential_seconds": 900,
		"max_task_seconds": 7200,
		"approval": by_security(600),
	}),
	"reports-rescue": object.union(plain, {
		"role_arn": reports,
		"kind": "break_glass",
		"permissions": publishing,
		"max_credential_seconds": 900,
		"max_task_seconds": 3600,
		"approval": by_security(3600),
	}),
}

asked(groups, rpc) := decision if {
	decision := admin.decision with input as {
		"caller": {"issuer": "https://login.sandbox.test", "id": "olga", "kind": "person", "groups": groups, "claims": {}},
		"rpc": rpc,
		"target": null,
		"context": {"time": "2026-11-23T09:00:00Z", "source_ip": "192.0.2.7"},
	}
}

test_security_sees_every_grant if {
	asked(["security"], "GrantService.ListGrants") == {"allow": true, "reasons": [], "visible": "all"}
}

test_staff_see_and_end_their_own_grants if {
	asked(["staff"], "GrantService.ListGrants").visible == ["own"]
	asked(["staff"], "GrantService.GetGrant").visible == ["own"]
	asked(["staff"], "GrantService.WatchGrants").visible == ["own"]
	asked(["staff"], "GrantService.RevokeGrants").visible == ["own"]
}

test_staff_may_nothing_else if {
	every rpc in ["GrantService.ListBlocks", "PolicyService.ActivateRevision", "AuditService.ListEvents"] {
		not asked(["staff"], rpc).allow
	}
}

test_other_groups_may_nothing if {
	not asked(["analysts", "engineers"], "GrantService.ListGrants").allow
}
