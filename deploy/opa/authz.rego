# METADATA
# title: Who may do what with this OPA
# description: |
#   The gateway may ask for its two decisions, anybody may ask whether OPA is well, and nobody may do anything else: not
#   read or write data and policies, not run a query of their own. It is no part of the gateway's bundle.
package system.authz

# METADATA
# description: Whether OPA takes a request. Undefined and false mean no.
# entrypoint: true
default allow := false

allow if {
	input.method == "POST"
	some question in {"issue", "admin"}
	input.path == ["v1", "data", "remit", question, "decision"]
	is_gateway
}

allow if {
	input.method == "GET"
	input.path == ["health"]
}

# Only the token's digest is here, in gateway.json; the token itself is in policy.opa.token_file of the gateway.
is_gateway if crypto.sha256(input.identity) == data.gateway.token_sha256
