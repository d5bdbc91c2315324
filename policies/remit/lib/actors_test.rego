package remit.lib.actors_test

import data.remit.lib.actors

test_an_actor_is_named_by_its_own_id if {
	actors.named(["spiffe://example/agents/copilot"], "spiffe://example/agents/copilot")
}

test_a_star_is_one_step if {
	actors.named(["spiffe://example/agents/*"], "spiffe://example/agents/copilot")
	not actors.named(["spiffe://example/agents/*"], "spiffe://example/agents/copilot/child")
}

test_a_star_does_not_cross_a_colon if {
	actors.named(["gitlab:*"], "gitlab:app")
	not actors.named(["gitlab:*"], "gitlab:app:admin")
}

test_a_pattern_matches_the_whole_id if {
	not actors.named(["spiffe://example/agents/copilot"], "spiffe://example/agents/copilot-two")
	not actors.named(["agents/copilot"], "spiffe://example/agents/copilot")
}

test_an_empty_list_names_nobody if {
	not actors.named([], "spiffe://example/agents/copilot")
}

test_entries_are_kept_that_name_the_actor_and_no_others if {
	copilot := {"actors": ["spiffe://example/people/*", "spiffe://example/agents/*"], "role_arn": "r"}
	crawler := {"actors": ["spiffe://example/agents/crawler"]}
	anybody := {"actors": ["spiffe://example/*"]}
	entries := {"a": copilot, "b": crawler, "c": {"actors": []}, "d": {}, "e": anybody}

	actors.naming(entries, "spiffe://example/agents/copilot") == {"a": copilot}
	actors.naming(entries, "sandbox:copilot") == {}
}
