import pytest
import torch

from pandapose_ros.runtime.cuda_graphs import SIZES, FixedBatches, padded_size, sizes_up_to


class Counted:
    """A function that tells the sizes that it was called with."""

    def __init__(self):
        self.sizes = []

    def __call__(self, numbers, scales):
        self.sizes.append(len(numbers))
        return numbers.flatten(1) * scales


@pytest.mark.parametrize("people", [1, 2, 3, 5, 8, 9, 16, 17, 32, 37])
def test_parts_and_padding_change_nobodys_result(people):
    function = Counted()
    batches = FixedBatches(function, [torch.full((1, 2, 3), torch.nan), torch.ones(1, 1)])
    for seed in range(2):
        torch.manual_seed(seed)
        numbers, scales = torch.rand(people, 2, 3), torch.rand(people, 1)
        torch.testing.assert_close(batches(numbers, scales), numbers.flatten(1) * scales)
    assert set(function.sizes) <= set(SIZES)
    assert batches.captured == []  # without a GPU there are no graphs


def test_results_are_not_written_over_by_the_next_run():
    batches = FixedBatches(lambda x: x + 1, [torch.zeros(1, 1)])
    first = batches(torch.zeros(3, 1))
    batches(torch.full((3, 1), 5.0))
    assert first.tolist() == [[1.0]] * 3


def test_each_size_is_made_once_when_it_is_needed():
    function = Counted()
    batches = FixedBatches(function, [torch.zeros(1, 4), torch.ones(1, 1)])
    assert function.sizes == []
    for people in (3, 4, 3):
        batches(torch.zeros(people, 4), torch.ones(people, 1))
    assert function.sizes == [4, 4, 4]  # without a graph nothing is run to make it
    assert list(batches._batches) == [4]


def test_the_next_greater_size_serves():
    assert [padded_size(people) for people in (1, 3, 8, 9, 16, 40)] == [1, 4, 8, 16, 16, 16]
    assert sizes_up_to(5) == [1, 2, 4, 8]
    assert sizes_up_to(30) == list(SIZES)


def test_types_of_the_inputs_stay_those_of_the_example():
    seen = []
    batches = FixedBatches(
        lambda x: seen.append(x.dtype) or x.float(), [torch.zeros(1, 1, dtype=torch.float16)]
    )
    assert batches(torch.ones(1, 1)).dtype == torch.float32
    assert set(seen) == {torch.float16}
