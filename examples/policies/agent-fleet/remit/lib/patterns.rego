# METADATA
# scope: package
# description: >-
#   A careful guess at what an IAM wildcard pattern can match, for rules that forbid: it may say yes too often, never no
#   too often. What is granted is never decided by it.
package remit.lib.patterns

# METADATA
# description: >-
#   Says whether some IAM pattern may match something that begins with one of these literal texts. What stands before a
#   pattern's first wildcard or policy variable must begin the same way for that.
any_meets(patterns, texts) if {
	some pattern in patterns
	starless := split(pattern, "*")
	unquestioned := split(starless[0], "?")
	literal := split(unquestioned[0], "$")
	some text in texts
	begins_alike(literal[0], text)
}

begins_alike(one, other) if startswith(one, other)

begins_alike(one, other) if startswith(other, one)
