"""The workshop of `numba_parallel`: read `passes` first, the others serve it."""
