"""Memory that runs out is told from other errors, and may be bounded for one trial."""

import sys
from multiprocessing import get_context

import pytest
import torch

from autodepth.trial.device.memory import is_out_of_memory, memory_limit

MEGABYTE = 1024**2


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"), True),
        (RuntimeError("[enforce fail] not enough memory: you tried to allocate 9 bytes."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_memory_that_ran_out_is_told_from_other_errors(error, expected):
    assert is_out_of_memory(error) is expected


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what is bounded")
def test_within_a_limit_allocations_beyond_it_fail_and_others_do_not():
    # In a process of its own: what tests before this one freed counts as had, and may be plenty.
    child = get_context("spawn").Process(target=allocate_within_and_beyond)
    child.start()
    child.join()
    assert child.exitcode == 0


def allocate_within_and_beyond():
    with memory_limit(200 * MEGABYTE):
        assert len(torch.ones(50 * MEGABYTE, dtype=torch.uint8)) == 50 * MEGABYTE
        with pytest.raises(RuntimeError) as failed:
            torch.ones(400 * MEGABYTE, dtype=torch.uint8)
    assert is_out_of_memory(failed.value)
    assert len(torch.ones(400 * MEGABYTE, dtype=torch.uint8)) == 400 * MEGABYTE
