# METADATA
# scope: package
# description: >-
#   A careful guess at what an IAM wildcard pattern can match, for rules that forbid: it may say yes too often, never no
#   too often. What is granted is never decided by it.
package remit.lib.patterns

# METADATA
# description: >-
#   Says whether some IAM pattern may match something that begins with one of these literal texts. What stands before a
#   pattern's first wildcard or policy variable must begin the same way for that. Each answer has a name, because an
#   engine takes ten times as long to reach into one that has none.
any_meets(patterns, texts) if {
	beginnings := [literal[0] |
		some pattern in patterns
		starless := split(pattern, "*")
		unquestioned := split(starless[0], "?")
		literal := split(unquestioned[0], "$")
	]
	any_begin_alike(beginnings, texts)
}

any_begin_alike(some_texts, others) if strings.any_prefix_match(some_texts, others)

any_begin_alike(some_texts, others) if strings.any_prefix_match(others, some_texts)
