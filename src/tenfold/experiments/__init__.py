"""Everything that trains or evaluates many times: sweeps, comparisons, time budgets, benchmarks."""
