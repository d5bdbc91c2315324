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
	some id in usable_of[role_arn]
	entry := catalogue.entitlements[id]
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
reasons contains {
	"code": "no_entitlement",
	"message": "No group of this user has an entitlement in the policy catalogue.",
	"remedy": "GIVE_UP",
} if {
	count(candidates) == 0
}

reasons contains {
	"code": "issuer_not_accepted",
	"message": "This user's groups have entitlements, but not when they come from this identity provider.",
	"remedy": "REAUTHENTICATE",
} if {
	count(candidates) > 0
	count(of_issuer) == 0
}

reasons contains {
	"code": "actor_not_entitled",
	"message": "This user may delegate, but not to this agent.",
	"remedy": "GIVE_UP",
} if {
	count(of_issuer) > 0
	count(of_actor) == 0
}

reasons contains {
	"code": "task_labels_differ",
	"message": "The user's entitlements are for tasks with other labels.",
	"remedy": "NARROW",
} if {
	count(of_actor) > 0
	count(of_task) == 0
}

reasons contains {
	"code": "outside_hours",
	"message": "The user's entitlements may be used at other hours only.",
	"remedy": "RETRY_LATER",
} if {
	count(inherited) > 0
	count(usable) == 0
}

reasons contains {
	"code": "child_task",
	"message": "The agent above this one may not pass this user's rights on to it.",
	"remedy": "GIVE_UP",
} if {
	not chains.is_handed_on(input, delegation.hands_to)
}

reasons contains {
	"code": "chain_too_deep",
	"message": "Work is not handed on so often.",
	"remedy": "GIVE_UP",
} if {
	not chains.is_shallow(input, delegation.deepest)
}

reasons contains {
	"code": "wider_than_parent",
	"message": "The agent that handed this on has none of it itself. Have it ask first.",
	"remedy": "GIVE_UP",
} if {
	count(of_task) > 0
	count(inherited) == 0
}

reasons contains {
	"code": "production_delete",
	"message": "Production data is deleted by people, never by an agent. Ask the person on call to do it.",
	"remedy": "GIVE_UP",
} if {
	some permission in input.intent.permissions
	patterns.any_meets(permission.resources, data.remit.catalog.production.resources)
	patterns.any_meets([lower(action) | some action in permission.actions], data.remit.catalog.production.delete_actions)
}

# What is left of the user's entitlements after each question. The index by group comes first, so that the cost does not
# grow with the catalogue.
candidates := groups.entitled(input.subject.groups)

of_issuer contains id if {
	some id in candidates
	issuer_accepted(catalogue.entitlements[id], input.subject.issuer)
}

of_actor contains id if {
	some id in of_issuer
	actors.named(catalogue.entitlements[id].actors, input.actor.id)
}

of_task contains id if {
	some id in of_actor
	labels_fit(object.get(catalogue.entitlements[id], "task_labels", {}), input.task.labels)
}

inherited contains id if {
	some id in of_task
	chains.is_inherited(input, id)
}

usable contains id if {
	some id in inherited
	in_hours(catalogue.entitlements[id], input.context.time)
}

usable_of[catalogue.entitlements[id].role_arn] contains id if some id in usable

issuer_accepted(entry, _) if not entry.issuers

issuer_accepted(entry, issuer) if issuer in entry.issuers

labels_fit(wanted, labels) if {
	every name, value in wanted {
		labels[name] == value
	}
}

in_hours(entry, _) if not entry.hours

in_hours(entry, time_text) if time_window.is_open(entry.hours, time.parse_rfc3339_ns(time_text))
