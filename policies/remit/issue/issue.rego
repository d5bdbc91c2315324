# METADATA
# scope: package
# title: The decision for credentials
# description: >-
#   Which entitlements a subject may delegate to an actor for a task. Whether the intent fits inside them is proven by
#   the gateway afterwards; this package only decides who may delegate what, and says why not.
# schemas:
#   - input: schema.input
package remit.issue

import data.remit.catalog.delegation
import data.remit.catalog.entitlements as catalogue
import data.remit.lib.actors
import data.remit.lib.chains
import data.remit.lib.groups
import data.remit.lib.patterns
import data.remit.lib.time_window

# METADATA
# description: The complete answer to the gateway. No reason against it and at least one entitlement, or a no with reasons.
# entrypoint: true
decision := {"allow": true, "entitlements": entitlements, "reasons": []} if count(reasons) == 0

decision := {"allow": false, "entitlements": [], "reasons": [reason | some reason in reasons]} if count(reasons) > 0

# METADATA
# description: The usable entitlements as the gateway reads them, by the catalogue's order of roles, then by id.
entitlements := [entitlement |
	some role_arn in catalogue.roles
	some id, entry in usable_of[role_arn]
	entitlement := {
		"id": id,
		"role_arn": role_arn,
		"kind": object.get(entry, "kind", "standard"),
		"permissions": entry.permissions,
		"max_credential_seconds": entry.max_credential_seconds,
		"max_task_seconds": entry.max_task_seconds,
		"approval": object.get(entry, "approval", null),
		"bind": object.get(entry, "bind", null),
		"offline_renewal": object.get(entry, "offline_renewal", false),
	}
]

# METADATA
# description: Why this may not be delegated. Empty means nothing was found against it.
reasons contains reason if {
	count(usable) == 0
	some reason in lacks
}

reasons contains {
	"code": "child_task",
	"message": "The agent above this one may not pass this user's rights on to it.",
	"remedy": "GIVE_UP",
} if {
	not chains.is_root(input)
	not chains.is_handed_on(input, delegation.hands_to)
}

reasons contains {
	"code": "chain_too_deep",
	"message": "Work is not handed on so often.",
	"remedy": "GIVE_UP",
} if {
	not chains.is_root(input)
	not chains.is_shallow(input, delegation.deepest)
}

reasons contains {
	"code": "production_delete",
	"message": "Production data is deleted by people, never by an agent. Ask the person on call to do it.",
	"remedy": "GIVE_UP",
} if {
	kept := data.remit.catalog.production
	some permission in input.intent.permissions
	patterns.any_meets(permission.resources, kept.resources)
	patterns.any_meets([lower(action) | some action in permission.actions], kept.delete_actions)
}

# Why none of the entitlements is usable: which question left none. It is asked only when none is.
lacks contains {
	"code": "no_entitlement",
	"message": "No group of this user has an entitlement in the policy catalogue.",
	"remedy": "GIVE_UP",
} if {
	count(candidates) == 0
}

lacks contains {
	"code": "issuer_not_accepted",
	"message": "This user's groups have entitlements, but not when they come from this identity provider.",
	"remedy": "REAUTHENTICATE",
} if {
	count(candidates) > 0
	count(of_issuer) == 0
}

lacks contains {
	"code": "actor_not_entitled",
	"message": "This user may delegate, but not to this agent.",
	"remedy": "GIVE_UP",
} if {
	count(of_issuer) > 0
	count(of_actor) == 0
}

lacks contains {
	"code": "task_labels_differ",
	"message": "The user's entitlements are for tasks with other labels.",
	"remedy": "NARROW",
} if {
	count(of_actor) > 0
	count(of_task) == 0
}

lacks contains {
	"code": "outside_hours",
	"message": "The user's entitlements may be used at other hours only.",
	"remedy": "RETRY_LATER",
} if {
	count(inherited) > 0
}

lacks contains {
	"code": "wider_than_parent",
	"message": "The agent that handed this on has none of it itself. Have it ask first.",
	"remedy": "GIVE_UP",
} if {
	count(of_task) > 0
	count(inherited) == 0
}

# What is left of the user's entitlements after each question, by id. The index by group comes first, so that the cost
# does not grow with the catalogue. Each looks through what the one before it left: an entry is looked up once, and what
# is asked of all of them stands in one rule, because to call a function or to reach into data costs an engine ten times
# what it costs to take the next entry.
candidates[id] := entry if {
	entries := catalogue.entitlements
	some id in groups.entitled(input.subject.groups)
	entry := entries[id]
}

of_issuer[id] := entry if {
	input.subject.issuer
	some id, entry in candidates
	not entry.issuers
}

of_issuer[id] := entry if {
	some id, entry in candidates
	input.subject.issuer in entry.issuers
}

of_actor[id] := entry if some id, entry in actors.naming(of_issuer, input.actor.id)

of_task[id] := entry if {
	labels := input.task.labels
	some id, entry in of_actor
	every name, value in object.get(entry, "task_labels", {}) {
		labels[name] == value
	}
}

inherited := chains.inherited(input, of_task)

usable[id] := entry if {
	input.context.time
	some id, entry in inherited
	not entry.hours
}

usable[id] := entry if {
	some id, entry in inherited
	hours := entry.hours
	time_window.is_open(hours, time.parse_rfc3339_ns(input.context.time))
}

usable_of[entry.role_arn][id] := entry if some id, entry in usable
