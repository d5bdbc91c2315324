package remit.q

val := input.v

says(x) := lower(x)

lower(_) := "q"
