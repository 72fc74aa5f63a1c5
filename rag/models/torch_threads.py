"""Pools of threads in which PyTorch computes on one thread each.

PyTorch keeps a number of computing threads per thread, and a new thread starts with the number that any thread set
last. So a thread that sets its number and then restores it changes the number of others. Here only new threads set
theirs, and the default for new threads is restored before anybody else starts one.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

_starting = threading.Lock()
"""Held while PyTorch's default for new threads is temporarily 1."""


def single_thread_pool(name: str) -> tuple[int, ThreadPoolExecutor]:
    """A pool of threads that compute on one thread each, and its size: PyTorch's usual number of threads."""
    import torch

    with _starting, ThreadPoolExecutor(1) as restorer:
        size = restorer.submit(torch.get_num_threads).result()
        pool, started = ThreadPoolExecutor(size, name), threading.Barrier(size)

        def start(_: int) -> None:
            torch.get_num_threads()  # a thread's first use of PyTorch sets its number to the default
            torch.set_num_threads(1)
            started.wait()  # or a thread that is done early would take the place of another one

        try:
            deque(pool.map(start, range(size)), maxlen=0)
        finally:
            started.abort()  # release all if one cannot be started
            restorer.submit(torch.set_num_threads, size).result()
    return size, pool


def register_thread() -> None:
    """If this thread is new to PyTorch, give it the usual number of threads, not a pool's."""
    import torch

    with _starting:
        torch.get_num_threads()
