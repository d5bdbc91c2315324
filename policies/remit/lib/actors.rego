# METADATA
# scope: package
# description: Which agents an entitlement names.
package remit.lib.actors

# METADATA
# description: >-
#   Says whether an actor is among those named. A `*` stands for one step between slashes, never for several, so that
#   spiffe://example/agents/* does not reach spiffe://example/agents/x/y.
named(patterns, actor_id) if {
	some pattern in patterns
	glob.match(pattern, ["/", ":"], actor_id)
}

# METADATA
# description: Those of the catalogue's entries, by id, that name an actor.
naming(entries, actor_id) := {id: entry |
	some id, entry in entries
	some pattern in entry.actors
	glob.match(pattern, ["/", ":"], actor_id)
}
