# METADATA
# scope: package
# title: The decision for the security side
# description: >-
#   Who may call the services through which policy, grants and audit are seen and changed, and which grants the caller
#   sees there. Nobody, unless named in the catalogue. A pipeline's groups are not people's groups, whatever they are called, so
#   groups give rights to people only; a workload is named by its issuer and its own id.
# schemas:
#   - input: schema["admin-input"]
package remit.admin

import data.remit.catalog.administration as catalogue

# METADATA
# description: The complete answer to the gateway. A yes says which grants are seen, a no why.
# entrypoint: true
decision := {"allow": true, "reasons": [], "visible": visible} if count(reasons) == 0

decision := {"allow": false, "reasons": [reason | some reason in reasons], "visible": null} if count(reasons) > 0

# METADATA
# description: Which grants the caller sees. Rights add up.
visible := "all" if "all" in sights

visible := [sight | some sight in sights] if not "all" in sights

# METADATA
# description: Why the call is refused. Empty means nothing was found against it.
reasons contains {
	"code": "not_an_administrator",
	"message": "No right in the policy catalogue lets this caller call this.",
	"remedy": "GIVE_UP",
} if {
	count(rights) == 0
}

# What the caller's groups, or the caller itself, are given for this call.
rights contains right if {
	input.caller.kind == "person"
	some group in input.caller.groups
	some right in catalogue.by_group[group]
	input.rpc in right.may
	issuer_accepted(right, input.caller.issuer)
}

rights contains right if {
	some right in catalogue.by_caller[input.caller.issuer][input.caller.id]
	input.rpc in right.may
}

sights contains right.visible if {
	some right in rights
	is_string(right.visible)
}

sights contains sight if {
	some right in rights
	is_array(right.visible)
	some sight in right.visible
}

issuer_accepted(right, _) if not right.issuers

issuer_accepted(right, issuer) if issuer in right.issuers
