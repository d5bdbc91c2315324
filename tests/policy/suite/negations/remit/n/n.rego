package remit.n

answer(x) := object.union({"ok": true, "list": [1]}, {name: 1 | some name in ["more"]}) if x == 1

flag(x) if x == 1

same(x) := x if x < 3
