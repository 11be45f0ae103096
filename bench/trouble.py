"""Owns the error of the benchmarks."""

from __future__ import annotations


class BenchmarkError(Exception):
    """A run that measured nothing: a side could not be set up, died, hung, lost jobs or ran them twice."""
