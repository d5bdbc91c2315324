package remit.lib.patterns_test

import data.remit.lib.patterns

meets(pattern, text) if patterns.any_meets([pattern], [text])

test_a_literal_meets_its_own_beginning if {
	meets("s3:deleteobject", "s3:delete")
	meets("s3:deleteobject", "s3:deleteobject")
}

test_a_wildcard_meets_what_it_could_become if {
	meets("s3:*", "s3:delete")
	meets("*", "s3:delete")
	meets("s3:d*", "s3:delete")
	meets("s3:delete*", "s3:delete")
	meets("s3:?eleteobject", "s3:delete")
}

test_a_policy_variable_meets_anything_from_there_on if {
	meets("arn:aws:s3:::${aws:username}/x", "arn:aws:s3:::production/")
}

test_different_beginnings_do_not_meet if {
	not meets("s3:get*", "s3:delete")
	not meets("arn:aws:s3:::reports/*", "arn:aws:s3:::production/")
	not meets("s3:deleted", "s3:delete-all")
}

test_one_meeting_pair_is_enough if {
	patterns.any_meets(["s3:getobject", "s3:*"], ["s3:delete"])
	patterns.any_meets(["dynamodb:deleteitem"], ["s3:delete", "dynamodb:delete"])
	not patterns.any_meets(["s3:getobject"], ["s3:delete", "dynamodb:delete"])
}

test_nothing_meets_nothing if {
	not patterns.any_meets([], ["s3:delete"])
	not patterns.any_meets(["s3:delete*"], [])
}
