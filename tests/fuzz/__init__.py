"""Random calls of the layers, compared with a reference in NumPy.

`python -m tests.fuzz` runs many of them; `tests/fuzz/test_fuzz.py` runs some with
hypothesis. The reference shares no code with the library: it is written from the
documents, and takes only the plan that a layer has drawn.
"""
