package remit.lib.step_up_test

import data.remit.lib.step_up

demand := {"acr": ["phr", "mfa"], "max_age_seconds": 600}

# 2026-11-23T09:00:00Z
moment := 1795424400000000000

signed_in(seconds_ago) := {"acr": "phr", "auth_time": 1795424400 - seconds_ago}

test_one_of_the_strengths_is_enough if {
	step_up.is_strong(demand, {"acr": "mfa"})
	step_up.is_strong(demand, {"acr": "phr"})
}

test_another_strength_or_none_is_not if {
	not step_up.is_strong(demand, {"acr": "pwd"})
	not step_up.is_strong(demand, {"acr": ""})
}

test_a_login_is_fresh_up_to_its_age_and_not_a_second_longer if {
	step_up.is_fresh(demand, signed_in(0), moment)
	step_up.is_fresh(demand, signed_in(600), moment)
	not step_up.is_fresh(demand, signed_in(601), moment)
}

test_a_token_that_does_not_say_is_as_old_as_can_be if {
	not step_up.is_fresh(demand, {"acr": "phr", "auth_time": 0}, moment)
}

test_a_login_from_the_future_is_not_believed if {
	step_up.is_fresh(demand, signed_in(-30), moment)
	not step_up.is_fresh(demand, signed_in(-31), moment)
}
