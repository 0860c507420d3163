"""The paper's experiment on any cohort: ``python -m benchmarks.paper --help``."""
