"""In which order policies are written, so that a line that moves from one to another is never in neither."""

from collections.abc import Iterator, Sequence

from remit_server.application.revocation.lines import Line

Pages = Sequence[frozenset[Line]]


def waves(current: Pages, target: Pages) -> Iterator[tuple[int, ...]]:
    """Yields the places that are to be written, those of one wave side by side.

    A policy may lose a line when no target has it, or when another policy that holds it now keeps it. Where two
    policies exchange lines, one of them is written first all the same: AWS has no step that changes both.
    """
    present = list(current)
    left = [place for place, page in enumerate(target) if page != current[place]]
    while left:
        ready = [place for place in left if _loses_nothing(place, present, target)] or left[:1]
        yield tuple(ready)
        for place in ready:
            present[place] = target[place]
        left = [place for place in left if place not in ready]


def _loses_nothing(place: int, present: Sequence[frozenset[Line]], target: Pages) -> bool:
    """Says whether every line that the write takes away stays denied by lines that stand before and after it."""
    steady = frozenset[Line]().union(*(now & then for now, then in zip(present, target, strict=True)))
    safe = steady | target[place]
    wanted = frozenset[Line]().union(*target)
    return all(_is_denied(line, safe) or not _is_denied(line, wanted) for line in present[place] - target[place])


def _is_denied(line: Line, by: frozenset[Line]) -> bool:
    return line in by or any(other.denies_all_of_line(line) for other in by)
