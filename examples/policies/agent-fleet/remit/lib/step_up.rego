# METADATA
# scope: package
# description: What a demand asks of the user's login, by the token's `acr` and `auth_time` and the time of the request.
package remit.lib.step_up

# METADATA
# description: >-
#   Says whether the login is one of the demanded strengths: {"acr": ["phr"], "max_age_seconds": 600}. A token without
#   `acr` has none.
is_strong(demand, subject) if subject.acr in demand.acr

# METADATA
# description: >-
#   Says whether the user signed in lately enough before a moment (nanoseconds since 1970). A token without `auth_time`
#   has 0 and is as old as can be; one from the future is not believed. Whole nanoseconds are compared: no fraction is lost.
is_fresh(demand, subject, moment) if {
	signed_in := subject.auth_time * 1000000000
	signed_in <= moment + leeway
	moment - signed_in <= demand.max_age_seconds * 1000000000
}

# Clocks of identity providers differ by this much, in nanoseconds.
leeway := 30000000000
