"""What the policy algebra costs: derive, prove, compact and narrow on usual, hard and hostile intents, in CPU time."""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from remit_server.iam import (
    Budget,
    Document,
    Outline,
    compact,
    contains,
    contains_all,
    derive,
    floor,
    narrow_all,
    outline,
)

END = datetime(2026, 11, 23, 13, 0, 0, tzinfo=UTC)
FAST = Budget(permissions=0)
BUCKET = "arn:aws:s3:::reports"
ROUNDS = 300
FEW_ROUNDS = 5


def policy(*statements: dict[str, Any]) -> Document:
    """Returns a document of the statements."""
    return Document.parse({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str | list[str], resource: str | list[str], **conditions: Any) -> dict[str, Any]:
    """Returns one Allow."""
    return {
        "Effect": "Allow",
        "Action": action,
        "Resource": resource,
        **({"Condition": conditions} if conditions else {}),
    }


def reading(number: int, prefix: str) -> dict[str, Any]:
    """Returns reading a prefix of one bucket, or listing it, by turns."""
    if number % 2:
        return allow("s3:ListBucket", f"{BUCKET}-{number:03}", StringLike={"s3:prefix": f"{prefix}/*"})
    return allow(["s3:GetObject", "s3:PutObject"], f"{BUCKET}-{number:03}/{prefix}/*")


def usual(count: int, prefix: str) -> Document:
    """Returns so many statements about so many buckets."""
    return policy(*(reading(number, prefix) for number in range(count)))


def times(work: Callable[[], object], rounds: int) -> list[float]:
    """Returns the CPU milliseconds of each call, shortest first."""
    work()
    found = []
    for _ in range(rounds):
        start = time.process_time_ns()
        work()
        found.append((time.process_time_ns() - start) / 1e6)
    return sorted(found)


def shown(label: str, found: Sequence[float]) -> None:
    """Prints the least, the median and the 99th percentile."""
    p99 = found[min(len(found) - 1, len(found) * 99 // 100)]
    median = statistics.median(found)
    print(f"{label:<64} least {found[0]:8.3f} ms   median {median:8.3f} ms   p99 {p99:8.3f} ms")


def everyday() -> None:
    """Derives with guards, compacts and proves in intent, entitlement and floor; then each step by itself."""
    forbidden = floor()
    for count, of in ((1, 10), (10, 200)):
        intent, entitlement = usual(count, "2026/q3"), usual(of, "2026")
        drafted = outline(intent, [entitlement])
        assert isinstance(drafted, Outline)  # noqa: S101 - what is measured has to happen
        derived = drafted.until(END)
        within = [intent, entitlement, forbidden]

        def anew(intent: Document = intent, within: Sequence[Document] = within) -> object:
            found = outline(intent, [within[1]])
            assert isinstance(found, Outline)  # noqa: S101 - what is measured has to happen
            return contains_all(found.until(END).document, within, budget=FAST)

        def again(drafted: Outline = drafted, within: Sequence[Document] = within) -> object:
            return contains_all(drafted.until(END).document, within, budget=FAST)

        sizes = f"{count} of {of}"
        shown(f"derive, compact and prove, {sizes}", times(anew, ROUNDS))
        shown(f"the same from what is remembered, {sizes}", times(again, ROUNDS))
        shown(f"derive and compact alone, {sizes}", times(partial(derive, intent, [entitlement], end=END), ROUNDS))
        proving = partial(contains_all, derived.document, within, budget=FAST)
        shown(f"prove alone (the fast path, three ceilings), {sizes}", times(proving, ROUNDS))
        shown(f"compact alone, {sizes}", times(partial(compact, intent), ROUNDS))
        shown(f"narrow alone, {sizes}", times(partial(narrow_all, intent, within[1:]), ROUNDS))


def exact() -> None:
    """Decides random pairs that the fast path leaves open: wildcards on both sides, NotResource, Denies."""
    chance = random.Random(7)  # noqa: S311 - reproducible draws, not secrets
    found: list[float] = []
    while len(found) < ROUNDS:
        ceiling = policy(*(hard(chance, 3) for _ in range(20)), denied(chance), allow("s3:*", f"{BUCKET}/2*"))
        issued = policy(*(hard(chance, 1) for _ in range(4)))
        if "Undecided" in type(contains(issued, ceiling, budget=FAST)).__name__:
            found += times(partial(contains, issued, ceiling), 1)
    shown("the exact path, 4 wildcard permissions against 22 statements", sorted(found))


def hard(chance: random.Random, most: int) -> dict[str, Any]:
    """Returns an Allow whose patterns overlap others' without lying in them."""
    names = ["*".join(chance.choices(("2026", "q3", "hr", "x", "report"), k=2)) for _ in range(chance.randint(1, most))]
    where = "NotResource" if most > 1 and chance.random() < 0.3 else "Resource"  # noqa: PLR2004 - three in ten
    out = allow(chance.choice(("s3:Get*", "s3:*Object", "s3:GetObject")), [])
    del out["Resource"]
    return {**out, where: sorted({f"{BUCKET}/{name}*" for name in names})}


def denied(chance: random.Random) -> dict[str, Any]:
    """Returns a Deny of a part of the bucket."""
    return {**allow("s3:*", f"{BUCKET}/{chance.choice('abcdef')}*secret*"), "Effect": "Deny"}


def hostile() -> None:
    """Takes the largest intents that are accepted, made of wildcards, to where a budget stops them."""
    chance = random.Random(5)  # noqa: S311 - reproducible draws, not secrets
    wild = [f"{BUCKET}/*{'*'.join(chance.choices('abcd', k=9))}*" for _ in range(22)]
    intents = {
        "22 x 22 wild names": policy(
            allow([f"s3:*{'*'.join(chance.choices('abcd', k=9))}*" for _ in range(22)], sorted(set(wild)))
        ),
        "490 actions by their ends": policy(allow([f"s3:*{number}" for number in range(490)], f"{BUCKET}/x")),
        "10 x 49 wild names": policy(
            allow(
                [f"s3:*{letter}*" for letter in "abcdefghij"],
                [f"{BUCKET}/*{one}*{other}*" for one in "abcdefg" for other in "hijklmn"],
            )
        ),
    }
    wide = policy(*(allow(["s3:GetObject", "s3:*"], f"{BUCKET}/*{number}*/*{number % 7}*") for number in range(200)))
    for name, intent in intents.items():
        for step, work in (
            ("derive", partial(derive, intent, [wide], end=END)),
            ("prove", partial(contains, intent, wide)),
            ("narrow", partial(narrow_all, intent, [wide, floor()])),
        ):
            shown(f"hostile: {step}, {name} of 200", times(work, FEW_ROUNDS))


def main() -> None:
    """Measures the everyday path, the exact path, and the worst that is let in."""
    everyday()
    exact()
    hostile()


if __name__ == "__main__":
    main()
