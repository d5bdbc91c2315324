# METADATA
# scope: package
# title: The decision for credentials of GitLab pipelines and Gitpod workspaces
# description: >-
#   A pipeline's or workspace's one token proves who works and for whom: the groups are its namespaces or its project,
#   the agent is the project or the workspace itself. What the job must be beside that, its demands, is read from the
#   claims that GitLab or Ona signed, never from labels, which are the agent's own words.
package remit.issue

import data.remit.catalog.entitlements as catalogue
import data.remit.catalog.pipelines
import data.remit.lib.actors
import data.remit.lib.chains
import data.remit.lib.groups

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
		"kind": "standard",
		"permissions": entry.permissions,
		"max_credential_seconds": entry.max_credential_seconds,
		"max_task_seconds": entry.max_task_seconds,
		"approval": object.get(entry, "approval", null),
		"bind": object.get(entry, "bind", null),
		"offline_renewal": false,
	}
]

# METADATA
# description: Why this may not be delegated. Empty means nothing was found against it.
reasons contains {
	"code": "no_entitlement",
	"message": "Neither this project's namespaces nor this workspace's project have an entitlement in the policy catalogue.",
	"remedy": "GIVE_UP",
} if {
	count(candidates) == 0
}

reasons contains {
	"code": "actor_not_entitled",
	"message": "The namespace has entitlements, but not for this project or workspace, or not from this issuer.",
	"remedy": "GIVE_UP",
} if {
	count(candidates) > 0
	count(of_actor) == 0
}

reasons contains {
	"code": "task_labels_differ",
	"message": "The entitlements are for tasks with other labels, such as environment.",
	"remedy": "NARROW",
} if {
	count(of_actor) > 0
	count(of_task) == 0
}

reasons contains refusals[code] if {
	count(usable) == 0
	some codes in unmet
	some code in codes
}

# What a task names by its label is what it means: that it may not have that is told, whatever else it may have.
reasons contains refusals[code] if {
	some id, codes in unmet
	catalogue.entitlements[id].task_labels
	some code in codes
}

reasons contains {
	"code": "child_task",
	"message": "A pipeline does not pass its rights on to further agents.",
	"remedy": "GIVE_UP",
} if {
	not chains.is_root(input)
}

# METADATA
# description: What is told of each demand that is not met.
refusals[code] := {"code": code, "message": message, "remedy": "GIVE_UP"} if some code, message in messages

messages := {
	"ref_not_protected": "This is for protected branches and tags only: merge first, or run it from one.",
	"environment_differs": "The job must run in the environment that this is for, and the task's label must say the same.",
	"source_not_accepted": "A pipeline that was started in this way may not have it.",
	"project_replaced": "The project has the right path, but it is another project than the one that was meant.",
	"not_a_person": "This is for people's workspaces, not for service accounts.",
}

# What is left of the entitlements after each question. The index by group comes first, so that the cost does not grow
# with the catalogue.
candidates := groups.entitled(input.subject.groups)

of_actor contains id if {
	some id in candidates
	entry := catalogue.entitlements[id]
	input.subject.issuer in entry.issuers
	actors.named(entry.actors, input.actor.id)
}

of_task contains id if {
	some id in of_actor
	every name, value in object.get(catalogue.entitlements[id], "task_labels", {}) {
		input.task.labels[name] == value
	}
}

usable contains id if {
	some id in of_task
	not unmet[id]
}

usable_of[catalogue.entitlements[id].role_arn] contains id if some id in usable

# METADATA
# description: Which demands of an entitlement this job does not meet. What the token does not say is not met.
unmet[id] contains "ref_not_protected" if {
	not claim_is("ref_protected", "true")
	some id in of_task
	pipelines.demands[id].protected_ref
}

unmet[id] contains "environment_differs" if {
	some id in of_task
	environments := pipelines.demands[id].environments
	not in_environment(environments)
}

unmet[id] contains "source_not_accepted" if {
	some id in of_task
	sources := pipelines.demands[id].sources
	source := claim("pipeline_source")
	not source in sources
}

unmet[id] contains "project_replaced" if {
	some id in of_task
	project_ids := pipelines.demands[id].project_ids
	project_id := claim("project_id")
	not project_id in project_ids
}

unmet[id] contains "not_a_person" if {
	not claim_is("creator_principal", "user")
	some id in of_task
	pipelines.demands[id].people_only
}

# The label is what the agent says, the claim what GitLab signed: both must name the environment.
in_environment(environments) if {
	claim("environment") in environments
	input.task.labels.environment == claim("environment")
}

claim(name) := object.get(input.subject.claims, name, "")

claim_is(name, value) if claim(name) == value
