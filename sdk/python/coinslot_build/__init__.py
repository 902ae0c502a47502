"""Builds plugins in Python: what `build.py` is made of. Nothing of it becomes part of a component."""
