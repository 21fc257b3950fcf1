"""Tests of everything that layers draw, with millions of draws for each distribution.

python -m benchmarks.laws               runs them, writes the results and the page
python -m benchmarks.laws --quick       takes a minute
python -m benchmarks.laws --page        writes docs/laws.md from the results alone
"""
