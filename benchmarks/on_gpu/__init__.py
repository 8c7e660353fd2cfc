"""What `benchmarks/gpu.py` measures: a module a section, and the processes that they run in."""
