"""Settings of the compiled solvers and of BLAS, which belong to the whole process, changed for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import threadpoolctl

from .compiled import threads


@contextmanager
def settings(product: str | None = None, n_threads: int | None = None) -> Iterator[None]:
    """Set them within the block, and put them back afterwards; None leaves one as it is.

    `product` is that of `minisnn.solvers.compiled.events.set_product`; `n_threads` are those of the compiled solvers,
    and of BLAS.
    """
    with ExitStack() as stack:
        if product is not None:
            from .compiled import events  # needs Numba, which the NumPy solvers do without

            stack.callback(events.set_product, events.get_product())
            events.set_product(product)
        if n_threads is not None:
            stack.callback(threads.set_threads, threads.get_threads())
            threads.set_threads(n_threads)
            stack.enter_context(threadpoolctl.threadpool_limits(limits=n_threads, user_api="blas"))
        yield
