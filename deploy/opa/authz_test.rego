package system.authz_test

import data.system.authz

decision := ["v1", "data", "remit", "issue", "decision"]

gateway := {"token_sha256": crypto.sha256("the gateway's token")}

test_the_gateway_may_ask_for_the_decision if {
	authz.allow with input as {"method": "POST", "path": decision, "identity": "the gateway's token"}
		with data.gateway as gateway
}

test_the_gateway_may_ask_who_may_administer if {
	authz.allow with input as {
		"method": "POST",
		"path": ["v1", "data", "remit", "admin", "decision"],
		"identity": "the gateway's token",
	}
		with data.gateway as gateway
}

test_nobody_else_may if {
	every identity in ["", "another", gateway.token_sha256] {
		not authz.allow with input as {"method": "POST", "path": decision, "identity": identity}
			with data.gateway as gateway
	}
	not authz.allow with input as {"method": "POST", "path": decision} with data.gateway as gateway
}

test_without_a_digest_nobody_may if {
	not authz.allow with input as {"method": "POST", "path": decision, "identity": "the gateway's token"}
		with data.gateway as {}
}

test_the_gateway_may_do_nothing_else if {
	every method in ["GET", "PUT", "PATCH", "DELETE", "POST"] {
		every path in [
			["v1", "data"],
			["v1", "data", "remit"],
			["v1", "data", "remit", "issue", "decision", "allow"],
			["v1", "data", "remit", "lib", "decision"],
			["v1", "policies", "remit"],
			["v1", "query"],
			["v1", "compile"],
			["v1", "config"],
			["v0", "data", "remit", "issue", "decision"],
			["", "v1", "data", "remit", "issue", "decision"],
			[""],
		] {
			not authz.allow with input as {"method": method, "path": path, "identity": "the gateway's token"}
				with data.gateway as gateway
		}
	}
}

test_health_is_for_everybody if {
	authz.allow with input as {"method": "GET", "path": ["health"]}
}
