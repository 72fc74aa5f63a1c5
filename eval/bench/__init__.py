"""Benchmarks of speed and quality beside a plain recipe or a bare model."""
