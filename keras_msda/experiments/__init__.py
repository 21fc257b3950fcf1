"""Experiments of the command line: many runs from one file, and their statistics.

Internal to `python -m keras_msda experiment`: nothing here is public, and all of it may
change. Reads a config, trains in worker processes, and keeps one line per run.
"""
