# METADATA
# scope: package
# title: The decision for credentials of a fleet of agents
# description: >-
#   A planner that users speak to, and workers to which it hands parts of the task. What an agent gets is never more than
#   the user has, than its kind may have, and than the agent above it has. What is dangerous takes a fresh, strong login.
package remit.issue

import data.remit.catalog.entitlements as catalogue
import data.remit.catalog.fleet
import data.remit.lib.actors
import data.remit.lib.chains
import data.remit.lib.groups
import data.remit.lib.patterns
import data.remit.lib.step_up
import data.remit.lib.time_window

# METADATA
# description: The complete answer to the gateway. No reason against it and at least one entitlement, or a no with reasons.
# entrypoint: true
decision := {"allow": true, "entitlements": entitlements, "reasons": []} if count(reasons) == 0

decision := {"allow": false, "entitlements": [], "reasons": [reason | some reason in reasons]} if count(reasons) > 0

# METADATA
# description: >-
#   The usable entitlements as the gateway reads them, by the catalogue's order of roles, then by id. Credentials are cut
#   to what the agent's kind may have: a limit narrows, it need not refuse.
entitlements := [entitlement |
	some role_arn in catalogue.roles
	some id in usable_of[role_arn]
	entry := catalogue.entitlements[id]
	entitlement := {
		"id": id,
		"role_arn": role_arn,
		"kind": "standard",
		"permissions": entry.permissions,
		"max_credential_seconds": min([entry.max_credential_seconds, limits.longest_seconds]),
		"max_task_seconds": entry.max_task_seconds,
		"approval": object.get(entry, "approval", null),
		"bind": object.get(entry, "bind", null),
		"offline_renewal": object.get(entry, "offline_renewal", false),
	}
]

# METADATA
# description: Why this may not be delegated. Empty means nothing was found against it.
reasons contains {
	"code": "unknown_agent",
	"message": "The fleet has no such agent.",
	"remedy": "GIVE_UP",
} if {
	not limits
}

reasons contains {
	"code": "grants_spent",
	"message": "This agent has had as many grants for this task as it may. Start another task, with its own purpose.",
	"remedy": "GIVE_UP",
} if {
	input.task.grants_so_far >= limits.most_grants
}

reasons contains {
	"code": "chain_too_deep",
	"message": "Too many agents stand between the user and this one.",
	"remedy": "GIVE_UP",
} if {
	not chains.is_shallow(input, fleet.deepest)
}

reasons contains {
	"code": "not_handed_on",
	"message": "The agent above this one may not hand work to it.",
	"remedy": "GIVE_UP",
} if {
	not chains.is_handed_on(input, parent_hands_to)
}

reasons contains {
	"code": "no_entitlement",
	"message": "No group of this user has an entitlement for this agent.",
	"remedy": "GIVE_UP",
} if {
	count(of_actor) == 0
}

reasons contains {
	"code": "wider_than_parent",
	"message": "The agent that handed this on has none of it itself. Have it ask first.",
	"remedy": "GIVE_UP",
} if {
	count(of_actor) > 0
	count(inherited) == 0
}

reasons contains {
	"code": "outside_hours",
	"message": "This may be used at other hours only.",
	"remedy": "RETRY_LATER",
} if {
	count(inherited) > 0
	count(in_time) == 0
}

reasons contains {
	"code": "stronger_login_needed",
	"message": "This takes a stronger login: sign in again with the second factor that it asks for.",
	"remedy": "REAUTHENTICATE",
} if {
	some id in short_of_login
	not step_up.is_strong(fleet.step_up[id], input.subject)
}

reasons contains {
	"code": "login_too_old",
	"message": "This takes a login of the last minutes: sign in again.",
	"remedy": "REAUTHENTICATE",
} if {
	some id in short_of_login
	not step_up.is_fresh(fleet.step_up[id], input.subject, now)
}

# What the kind of this agent may have; undefined for a stranger, and the most careful where two patterns name it.
limits := {
	"most_grants": min([agent.most_grants | some agent in kinds(input.actor.id)]),
	"longest_seconds": min([agent.longest_seconds | some agent in kinds(input.actor.id)]),
}

# To which agents the one above may hand work: nobody where it is no agent of the fleet.
parent_hands_to contains pattern if {
	some agent in kinds(input.parent_task.actor)
	some pattern in agent.hands_to
}

kinds(actor_id) := {agent |
	some pattern, agent in fleet.agents
	actors.named([pattern], actor_id)
}

# What is left of the user's entitlements after each question. The index by group comes first.
of_actor contains id if {
	some id in groups.entitled(input.subject.groups)
	actors.named(catalogue.entitlements[id].actors, input.actor.id)
}

inherited contains id if {
	some id in of_actor
	chains.is_inherited(input, id)
}

in_time contains id if {
	some id in inherited
	in_hours(catalogue.entitlements[id])
}

usable contains id if {
	some id in in_time
	signed_in_well(id)
}

# What the intent seems to be about, and would be had after a better login. Whether an intent lies inside an entitlement
# is the gateway's to prove; this careful guess only decides which way out the agent is told.
short_of_login contains id if {
	some id in in_time
	not signed_in_well(id)
	is_about(catalogue.entitlements[id].permissions)
}

# Where nothing else is to be had there is always a reason: a no without one would be an outage.
short_of_login contains id if {
	count(usable) == 0
	some id in in_time
}

is_about(permissions) if {
	some asked in input.intent.permissions
	some offered in permissions
	patterns.any_meets([lower(action) | some action in asked.actions], beginnings([lower(action) | some action in offered.actions]))
	patterns.any_meets(asked.resources, beginnings(offered.resources))
}

beginnings(texts) := [parts[0] |
	some text in texts
	parts := split(text, "*")
]

usable_of[catalogue.entitlements[id].role_arn] contains id if some id in usable

in_hours(entry) if not entry.hours

in_hours(entry) if time_window.is_open(entry.hours, now)

signed_in_well(id) if not fleet.step_up[id]

signed_in_well(id) if {
	step_up.is_strong(fleet.step_up[id], input.subject)
	step_up.is_fresh(fleet.step_up[id], input.subject, now)
}

now := time.parse_rfc3339_ns(input.context.time)
