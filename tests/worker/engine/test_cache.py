import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from worker.engine.cache import TargetCache, size_bytes
from worker.engine.losses import collect


def values(count: int) -> Tensor:
    return torch.zeros(count)  # 4 bytes each


def test_what_was_added_is_found_and_nothing_else() -> None:
    cache = TargetCache(100)
    target = values(5)
    cache.add("a", target)
    assert cache.get("a") is target
    assert cache.get("b") is None
    assert cache.bytes == 20


def test_those_not_used_for_longest_go_first() -> None:
    cache = TargetCache(100)
    for key in "abc":
        cache.add(key, values(8))  # 96 bytes in all
    cache.get("a")
    cache.add("d", values(10))
    assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "d"]


def test_one_that_is_larger_than_the_bound_is_not_kept_and_displaces_nothing() -> None:
    cache = TargetCache(100)
    cache.add("small", values(25))
    cache.add("large", values(26))
    assert cache.get("large") is None
    assert cache.get("small") is not None


def test_without_room_nothing_is_kept() -> None:
    cache = TargetCache(0)
    cache.add("a", values(1))
    assert cache.get("a") is None
    assert cache.bytes == 0


def test_after_it_is_cleared_nothing_is_left_and_all_room_is_there_again() -> None:
    cache = TargetCache(100)
    cache.add("a", values(25))
    cache.clear()
    assert cache.get("a") is None
    assert cache.bytes == 0
    cache.add("b", values(25))
    assert cache.get("b") is not None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 40)), max_size=40))
def test_it_never_holds_more_than_its_bound_and_knows_how_much_it_holds(
    uses: list[tuple[int, int]],
) -> None:
    cache = TargetCache(200)
    for key, count in uses:
        if cache.get(key) is None:
            cache.add(key, values(count))
        held = [target for other in range(10) if (target := cache.get(other)) is not None]
        assert sum(map(size_bytes, held)) == cache.bytes <= 200


def test_statistics_count_with_all_their_matrices_and_a_part_with_the_whole() -> None:
    features = torch.rand(7, 3)
    statistics = collect(features, centered=True)
    assert size_bytes(statistics) >= 4 * (3 * 3 + 3 + 3)
    assert size_bytes(features[:2]) == size_bytes(features) == 4 * 7 * 3
