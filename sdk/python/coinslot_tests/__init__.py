"""Runs tests of plugins in Python: what `run_tests.py` is made of. Nothing of it becomes part of a component."""
