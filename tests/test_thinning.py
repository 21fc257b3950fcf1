"""Where not all cases are run, those are that show most."""

import itertools

import pytest
from numpy.testing import assert_equal

from tests.support.thinning import chosen, widest


def grid(**parameters):
    rows = itertools.product(*parameters.values())
    return [tuple(zip(parameters, row, strict=True)) for row in rows]


def test_few_cases_are_all_run():
    assert_equal(chosen(grid(a="xyz"), 3), [0, 1, 2])


def test_the_cases_of_one_parameter_are_spread_evenly():
    assert_equal(chosen(grid(a=range(100)), 4), [0, 25, 50, 75])


def test_the_widest_parameter_has_most_values():
    assert_equal(widest(grid(a="xyz", b="pq", c=range(5))), 5)
    assert_equal(widest([()]), 1)


def test_one_case_is_that_of_the_start():
    assert_equal(chosen(grid(a="xyz", b="pq"), 1, start=10), [4])


@pytest.mark.parametrize("most", [7, 12, 20])
def test_every_value_is_there_if_there_is_room(most):
    rows = grid(method="abcdefg", size=range(4), mode="xy")
    found = [rows[place] for place in chosen(rows, most)]
    assert_equal(len(found), most)
    assert_equal({x for row in found for x in row}, {x for row in rows for x in row})


def test_every_pair_of_values_is_there_if_there_is_room():
    rows = grid(method="abcd", size=range(3), mode="xy", way="pq")
    found = [rows[place] for place in chosen(rows, 15)]
    pairs = {pair for row in rows for pair in itertools.combinations(row, 2)}
    assert_equal({p for row in found for p in itertools.combinations(row, 2)}, pairs)
