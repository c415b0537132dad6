"""Telling a want of memory from other faults: the libraries have no type of their own for it, only words."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from fbtasks.errors import OutOfDeviceMemory

_WORDS = re.compile(
    r"out of memory"  # CUDA's own text for cudaErrorMemoryAllocation, TensorRT's too
    r"|cudaErrorMemoryAllocation"
    r"|Failed to allocate memory"  # ONNX Runtime's arena
    r"|(CUDNN|CUBLAS)_STATUS_ALLOC_FAILED"
    r"|bad_alloc"  # the C++ library's, on the CPU
    r"|bad allocation",
    re.IGNORECASE,
)


@contextmanager
def memory_faults() -> Iterator[None]:
    """Around one run of an engine.

    Raises:
        OutOfDeviceMemory: instead of whatever the library raises for want of memory; other errors pass.
    """
    try:
        yield
    except Exception as error:  # ONNX Runtime's errors have no common base of their own
        if isinstance(error, MemoryError) or _WORDS.search(str(error)):
            first = next(iter(str(error).splitlines()), type(error).__name__)
            raise OutOfDeviceMemory(first) from error
        raise
