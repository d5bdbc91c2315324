# METADATA
# scope: package
# title: The decision for the security side
# description: Who may call the services through which policy, grants and audit are seen and changed. Nobody, unless named.
package remit.admin

# METADATA
# description: The complete answer to the gateway.
# entrypoint: true
decision := {"allow": true, "reasons": []} if count(reasons) == 0

decision := {"allow": false, "reasons": [reason | some reason in reasons]} if count(reasons) > 0

# METADATA
# description: Why the call is refused. Empty means nothing was found against it.
reasons contains {
	"code": "not_an_administrator",
	"message": "No group of this caller may call this.",
	"remedy": "GIVE_UP",
} if {
	not permitted
}

permitted if {
	some group in input.caller.groups
	input.rpc in data.remit.catalog.administration.by_group[group]
}
