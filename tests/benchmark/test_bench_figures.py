"""Figures of the full workloads, printed with `pytest -m benchmark -s tests/benchmark`, after the answers agreed."""

import pytest

from minisnn.bench.grid import exponents, measure_grid, table
from minisnn.bench.step import contestants, measure_steps
from minisnn.bench.step import table as step_table
from minisnn.bench.workloads import RULES, WORKLOADS, workload

pytestmark = [pytest.mark.benchmark, pytest.mark.slow]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", WORKLOADS)
def test_a_step_beats_the_dense_products_alone_and_stepping_by_events(name, rule):
    lines = measure_steps(workload(name), rule, contestants(2), 20, 2)
    print("\n" + step_table(lines))
    assert all(line.fault is None for line in lines)
    by_label = {line.contestant.label: line for line in lines}
    fused = by_label["single-spike, fused, events"]
    assert fused.median_ms < fused.dense_products_ms
    assert fused.median_ms < by_label["conventional, stepped, events"].median_ms


def test_one_layer_is_never_slower_than_stepping_and_grows_with_t_not_t_squared():
    cells = list(measure_grid(("dense", "sparse"), (32,), (100, 500), (8, 128, 512, 2048), 5, 2))
    print("\n" + table(cells))
    assert all(cell.ratios and cell.ratios[2] > 0.95 for cell in cells)
    assert max(exponents(cells).values()) < 1.5
