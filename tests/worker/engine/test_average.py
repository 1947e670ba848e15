import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from worker.engine.average import Average


def iterates(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, 4, 5, generator=generator) for _ in range(count)]


def average_of(pictures: list[Tensor], decay: float) -> Average:
    average = Average(pictures[0], decay)
    for picture in pictures[1:]:
        average.update(picture)
    return average


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_before_the_first_step_it_is_the_start(decay: float) -> None:
    (start,) = iterates(1)
    torch.testing.assert_close(Average(start, decay).value(), start)


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99])
def test_it_weighs_the_start_and_every_iterate_by_its_age(decay: float) -> None:
    pictures = iterates(12)
    weights = torch.tensor([decay**age for age in reversed(range(12))])
    expected = (weights.view(-1, 1, 1, 1) * torch.stack(pictures)).sum(0) / weights.sum()
    torch.testing.assert_close(average_of(pictures, decay).value(), expected)


def test_it_is_the_average_of_crowsonkbs_program() -> None:
    pictures = iterates(9)
    value, accum, decay = torch.zeros(3, 4, 5), 1.0, 0.99
    for picture in pictures:
        accum *= decay
        value = value * decay + (1 - decay) * picture
    torch.testing.assert_close(average_of(pictures, decay).value(), value / (1 - accum))


def test_without_decay_it_is_the_last_iterate_and_takes_no_memory() -> None:
    pictures = iterates(5)
    value = average_of(pictures, 0.0).value()
    assert torch.equal(value, pictures[-1])
    assert value.data_ptr() == pictures[-1].data_ptr()


def test_it_leaves_the_iterates_alone() -> None:
    pictures = iterates(4)
    copies = [picture.clone() for picture in pictures]
    for decay in (0.0, 0.9):
        average_of(pictures, decay).value()
        assert all(map(torch.equal, pictures, copies))


@settings(deadline=None)
@given(decay=st.sampled_from([0.0, 0.7, 0.99]), before=st.integers(1, 8), after=st.integers(0, 5))
def test_one_that_was_saved_goes_on_bit_for_bit(decay: float, before: int, after: int) -> None:
    pictures = iterates(before + after)
    first = average_of(pictures[:before], decay)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = Average(pictures[before - 1], decay)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(first.value(), second.value())
    for picture in pictures[before:]:
        first.update(picture)
        second.update(picture)
    assert torch.equal(first.value(), second.value())
