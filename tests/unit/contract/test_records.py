"""A record behaves as a frozen dataclass of the library does."""

import dataclasses
import typing

import pytest

from contract import decode, records


@records.dataclass(frozen=True)
class Point:
    """Two numbers and a name."""

    x: int
    y: float = 1.5
    names: tuple[str, ...] = ()
    more: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def total(self) -> float:
        return self.x + self.y


@dataclasses.dataclass(frozen=True)
class Library:
    x: int
    y: float = 1.5
    names: tuple[str, ...] = ()
    more: dict[str, int] = dataclasses.field(default_factory=dict)


def test_it_is_made_by_place_by_name_and_by_default() -> None:
    assert Point(1).total == 2.5
    assert Point(1, 2.0, ("a",)) == Point(names=("a",), y=2.0, x=1)
    assert Point(1).more == {}
    assert Point(1).more is not Point(1).more
    assert list(vars(Point(names=("a",), x=1))) == ["x", "y", "names", "more"]


@pytest.mark.parametrize(
    ("values", "named"), [((), {}), ((1, 2, 3, 4, 5), {}), ((1,), {"x": 1}), ((1,), {"z": 1})], ids=range(4)
)
def test_what_the_library_refuses_is_refused(values: tuple[int, ...], named: dict[str, int]) -> None:
    for kind in (Point, Library):
        with pytest.raises(TypeError):
            kind(*values, **named)  # type: ignore[arg-type]


def test_it_cannot_be_changed() -> None:
    point = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="x of Point"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    assert point.x == 1


def test_equal_records_have_one_hash_and_other_types_are_not_equal() -> None:
    class Other(Point):
        """Another type of the same fields."""

    @records.dataclass(frozen=True)
    class Hashable:
        x: int

    assert hash(Hashable(1)) == hash(Hashable(1))
    assert len({Hashable(1), Hashable(1), Hashable(2)}) == 2
    assert Point(1) != Point(2)
    assert Point(1) != Other(1)
    assert Point(1) != Library(1)


def test_the_librarys_functions_take_it() -> None:
    assert dataclasses.is_dataclass(Point)
    assert dataclasses.asdict(Point(1)) == dataclasses.asdict(Library(1))
    assert dataclasses.replace(Point(1), y=3.0) == Point(1, 3.0)
    assert [field.name for field in dataclasses.fields(Point)] == [field.name for field in dataclasses.fields(Library)]
    assert typing.get_type_hints(Point) == typing.get_type_hints(Library)
    assert repr(Point(1)) == repr(Library(1)).replace("Library", "Point")
    match Point(1, 2.0):
        case Point(x, y):
            assert (x, y) == (1, 2.0)


def test_it_is_decoded_strictly() -> None:
    value = {"x": 1, "y": 2, "names": ["a"], "more": {"b": 1}}
    assert decode.build(Point, value, "here") == Point(1, 2.0, ("a",), {"b": 1})


def test_only_frozen_records_are_made() -> None:
    with pytest.raises(TypeError):
        records.dataclass(frozen=False)


def test_what_it_would_ignore_is_refused() -> None:
    with pytest.raises(TypeError, match="the library's dataclass"):

        @records.dataclass(frozen=True)
        class Derived:
            x: int = dataclasses.field(init=False)
