"""Which of a test's cases are run where not all are."""

import itertools
import zlib

SIMPLE = (str, int, float, bool, tuple, type(None))


def thinned(items, most, *, whole=True):
    """Returns at most so many cases of each test.

    Of a test marked `whole` all cases are kept; or, if not `whole`, as many as it takes
    for each value of each parameter to have one.
    """
    by_test = {}
    for item in items:
        by_test.setdefault(item.nodeid.partition("[")[0], []).append(item)
    kept = set()
    for test, cases in by_test.items():
        rows, count = [words(case) for case in cases], most
        if cases[0].get_closest_marker("whole"):
            count = len(cases) if whole else max(most, widest(rows))
        # Each test starts elsewhere: with one case each, all methods have a turn.
        start = zlib.crc32(test.encode())
        kept.update(cases[place] for place in chosen(rows, count, start=start))
    return [item for item in items if item in kept]


def widest(rows):
    """Returns the largest number of values of a parameter."""
    values = {}
    for name, value in {pair for row in rows for pair in row}:
        values.setdefault(name, set()).add(value)
    return max(map(len, values.values()), default=1)


def words(item):
    """Returns the parameters of a case as pairs of name and value."""
    if not hasattr(item, "callspec"):
        return ()
    spec = item.callspec
    return tuple(
        (name, repr(value) if isinstance(value, SIMPLE) else spec.indices[name])
        for name, value in spec.params.items()
    )


def chosen(rows, most, *, start=0):
    """Returns the places of rows that show most of what there is.

    Each value of each parameter comes first, and then each pair of values of two
    parameters, as far as they go: a method that breaks a rule mostly does so whatever
    the size, and one that does not mostly breaks it with one other setting alone. The
    rest is spread evenly, from a start on.
    """
    count = len(rows)
    if count <= most:
        return list(range(count))
    even = [(start + int(place * count / most)) % count for place in range(most)]
    left = even + [place for place in range(count) if place not in set(even)]
    pairs = [set(itertools.combinations(row, 2)) for row in rows]
    found, values, together = [], set(), set()
    while len(found) < most:
        best = max(
            left, key=lambda p: (len(set(rows[p]) - values), len(pairs[p] - together))
        )
        left.remove(best)
        found.append(best)
        values.update(rows[best])
        together |= pairs[best]
    return sorted(found)
