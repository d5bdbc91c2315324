package remit.p

allow if input.x == 1

ns := time.parse_rfc3339_ns(input.t)

g := glob.match("a*", [], input.s)

r := regex.match("^a", input.s)

l := lower(input.s)

twice(n) := n * 2

uses := twice(input.n)

uses_lower(s) := lower(s)

deep := data.remit.p.uses + 1

indirect := data.remit.q.val

cnt := count(input.list)

obj.a := 1

obj.b := 2

s contains x if some x in input.list

partial[k] := v if some k, v in input.m


default dd := "d"

dd := "x" if input.x == 1
