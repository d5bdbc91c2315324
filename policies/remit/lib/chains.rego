# METADATA
# scope: package
# description: >-
#   Delegation that goes deeper than one agent: an agent that hands a part of its task to another. It goes by the parent
#   task, {"id": the task above, "actor": who handed it on, "depth": how many tasks stand above that one,
#   "entitlements": what its live grants rest on}, which the gateway knows, and never by the nested `act` claims, which
#   are history (RFC 8693 4.1).
package remit.lib.chains

import data.remit.lib.actors

# METADATA
# description: Says whether a request comes from the agent that the user spoke to, and not from an agent of that agent.
is_root(request) if request.parent_task == null

# METADATA
# description: Says whether no more agents stand above one that is not the first than there may.
is_shallow(request, deepest) if request.parent_task.depth + 1 <= deepest

# METADATA
# description: Says whether there is an agent above that may hand work to this one; `hands_to` has by agent to whom it may.
is_handed_on(request, hands_to) if {
	some above, below in hands_to
	actors.named([above], request.parent_task.actor)
	actors.named(below, request.actor.id)
}

# METADATA
# description: >-
#   Those of the entitlements, by id, that are no more than the agent above has. The first agent has the user's own.
inherited(request, entries) := entries if is_root(request)

inherited(request, entries) := {id: entry |
	some id, entry in entries
	id in request.parent_task.entitlements
} if {
	not is_root(request)
}
