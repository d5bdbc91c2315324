package remit.q

import data.remit.p
import data.remit.p.twice
import data.remit.p.twice as dbl

limit := 10

via_import := twice(input.n)

via_alias := dbl(input.n)

via_pkg := p.twice(input.n)

via_full := data.remit.p.twice(input.n)

via_brackets := data.remit.p.twice(input.n)

local_twice(x) := x

deep.er.value := 1

both := x if {
	x := p.uses + p.twice(1)
}
