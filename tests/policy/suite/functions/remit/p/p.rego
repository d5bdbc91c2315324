package remit.p

twice(n) := n * 2

default fallback(_) := "d"

fallback(n) := "n" if n == 1

a["b"](x) := x + 1

uses_ab := a.b(input.n)

uses := twice(input.n)

chain(n) := twice(twice(n))

in_compr := [twice(n) | some n in input.list]

in_every if {
	every n in input.list {
		twice(n) > 100
	}
}

in_not if not twice(input.n) == 2

in_head contains twice(n) if some n in input.list

in_key[twice(n)] := n if some n in input.list

in_else := 1 if {
	twice(input.n) == 999
} else := twice(input.n)

in_args(x) := y if {
	y := x + twice(1)
}

in_object := {"v": twice(input.n), "w": [twice(1)]}

multi(1) := "one"

multi(2) := "two"

bool_fn(x) if x > 5

uses_bool if bool_fn(input.n)

shadow(count) := count + 1

deny contains msg if {
	some m in input.msgs
	msg := sprintf("%s-%d", [m, twice(input.n)])
}

nested_with := x if {
	x := twice(3) with input.n as 5
}

lim := data.remit.q.limit

cat := data.remit.q.deep.er.value
