from dataclasses import dataclass, field, replace

import pytest

from remit_server.domain.changing import changed


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 0
    names: tuple[str, ...] = field(default=(), repr=False)


def test_it_changes_what_dataclasses_would_and_leaves_the_value_as_it_was() -> None:
    point = Point(1, 2, ("a",))

    moved = changed(point, y=5)

    assert moved == replace(point, y=5) == Point(1, 5, ("a",))
    assert point == Point(1, 2, ("a",))


def test_the_copy_is_frozen_too() -> None:
    moved = changed(Point(1), x=2)

    with pytest.raises(AttributeError):
        moved.x = 3  # type: ignore[misc]


def test_a_field_that_there_is_not_is_refused() -> None:
    with pytest.raises(TypeError, match="no field z"):
        changed(Point(1), z=1)
