"""One case: calls, comparisons, and what came of them."""

import re
import warnings
from typing import Any, NamedTuple

import numpy as np

from tests.fuzz import drawn, laws, models, reference, rules, worlds
from tests.fuzz.contents import Given, Rows, assemble, make_given, wrap
from tests.fuzz.draws import Numbers
from tests.fuzz.expected import Expected, Same, compare, first, narrowed
from tests.fuzz.ragged import ExpectedRows, compare_rows
from tests.fuzz.strategies import Case, draw_case
from tests.support.errors import FORM

#: Calls of each case.
CALLS = 5
#: Of errors: TensorFlow writes the name of their class before their text.
_OWNER = r"(?<!\w)(?!\w*Error)\w+"


#: What a nest holds.
_LEAVES = (Expected, ExpectedRows, Same, Rows, np.ndarray)


class Outcome(NamedTuple):
    """What came of a call: "equal", "error" (a documented one) or "failure"."""

    world: str
    method: str
    kind: str
    words: str = ""


def make_case(seed: int, index: int) -> Case:
    """Returns the case of a seed and a number."""
    draws = Numbers(seed, index)
    number = draws.integer(0, sum(worlds.SHARES.values()) - 1)
    names = [name for name, share in worlds.SHARES.items() for _ in range(share)]
    return draw_case(draws, names[number], CALLS)


def check_case(case: Case) -> list[Outcome]:
    """Makes the layer and all calls of a case, and compares them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refusal = rules.refuse_layer(case)
        try:
            layer = worlds.make_layer(case)
        except Exception as error:
            return [_judge(case, error, refusal)]
        if refusal:
            return [_outcome(case, "failure", f"not refused: {refusal}")]
        if case.world == "fit":
            return [_check_fit(case, layer)]
        if case.world == "eager":
            return [_check_call(case, layer, i) for i in range(len(case.calls))]
        return _check_all(case, layer)


def _check_fit(case: Case, layer: Any) -> Outcome:
    """Checks the losses of a model that is trained."""
    refusal = models.refuse(case)
    try:
        words = models.run(case, layer)
    except Exception as error:
        return _judge(case, error, refusal)
    if refusal:
        return _outcome(case, "failure", f"not refused: {refusal}")
    return _outcome(case, "failure", words) if words else _outcome(case, "equal")


def _outcome(case: Case, kind: str, words: str = "") -> Outcome:
    return Outcome(case.world, case.method, kind, words)


def _judge(case: Case, error: Exception, refusal: str | None) -> Outcome:
    """Returns what an error is: documented and due, or a failure."""
    text = re.sub(r"\x1b\[\d*m", "", str(error.args[0] if error.args else error))
    found = re.search(FORM.format(_OWNER), text)
    late = case.world in rules.UNKNOWN and isinstance(error, worlds.LATE)
    if late and refusal:
        return _outcome(case, "error", f"when it runs: {refusal}")
    brief = f"{type(error).__name__}: {text[:300]}"
    if type(error) not in (ValueError, TypeError) or not found:
        return _outcome(case, "failure", f"no documented error: {brief}")
    if refusal is None:
        return _outcome(case, "failure", f"refused: {found[0]}")
    return _outcome(
        case, "error", re.sub('"?(extra|inputs)[^ ]*', "...", found["rule"])
    )


def _check_call(case: Case, layer: Any, index: int) -> Outcome:
    """Checks one eager call."""
    batch = make_given(case, index)
    given = batch.nests(case.form)
    refusal = rules.refuse_call(case, *case.calls[index])
    seed = drawn.make_seed(case, index)
    if case.plain:
        seed = drawn.next_seeds(case, layer, 1)[0]
    state = drawn.read_state(layer)
    try:
        found = worlds.call_eagerly(case, layer, given, index)
    except Exception as error:
        if words := _find_change(case, index, given):
            return _outcome(case, "failure", words)
        if drawn.read_state(layer) != state:
            return _outcome(case, "failure", f"refused, but used up a draw: {error}")
        return _judge(case, error, refusal)
    if refusal:
        return _outcome(case, "failure", f"not refused: {refusal}")
    if words := _find_change(case, index, given):
        return _outcome(case, "failure", words)
    return _compare(case, index, batch, found, (layer, seed))


def _find_change(case: Case, index: int, given: Any) -> str | None:
    """Returns which inputs a call has changed."""
    words = _differ(given, make_given(case, index).nests(case.form))
    return f"inputs changed: {words}" if words else None


def _check_all(case: Case, layer: Any) -> list[Outcome]:
    """Checks the calls of a world that traces them once."""
    batches = [make_given(case, i) for i in range(len(case.calls))]
    reasons = [rules.refuse_call(case, *call) for call in case.calls]
    refusal = next((reason for reason in reasons if reason), None)
    seeds, state = drawn.list_seeds(case, layer), drawn.read_state(layer)
    try:
        found = worlds.run(case, layer, batches)
    except Exception as error:
        late = isinstance(error, worlds.LATE)  # Calls before this one have drawn.
        if not late and drawn.read_state(layer) != state:
            return [_outcome(case, "failure", f"refused, but used up a draw: {error}")]
        return [_judge(case, error, refusal)]
    if refusal:
        return [_outcome(case, "failure", f"not refused: {refusal}")]
    if len(found) != len(batches):
        return [_outcome(case, "failure", f"{len(found)} batches of {len(batches)}")]
    return [
        _compare(case, i, batch, found[i], (layer, seeds[i]))
        for i, batch in enumerate(batches)
    ]


def _compare(
    case: Case, index: int, given: Given, found: Any, source: tuple[Any, Any]
) -> Outcome:
    """Compares a result with the reference, by the plan that a layer draws of a seed.

    Args:
        case: The case.
        index: Number of the call.
        given: The batch and its partners.
        found: What the call has returned.
        source: The layer and the seed.
    """
    batch, size, training = case.calls[index]
    mixed = case.world == "mixing" or rules.mixes(case, training)
    contents = given.joined() if mixed else given.contents
    if mixed:
        layer, seed = source
        plan = drawn.draw_plan(case, layer, contents, index, seed)
        if words := laws.check_plan(case, plan, len(contents["images"]), size):
            return _outcome(case, "failure", f"law: {words}")
    else:
        plan = reference.no_plan(batch, size)
    narrow = drawn.BACKEND == "jax" and case.world not in drawn.PIPELINES
    parts = first(reference.expect(case, contents, plan, mixed), batch)
    if narrow:  # JAX has 32 bits, unless it is told to have more.
        parts = {key: narrowed(value) for key, value in parts.items()}
    words = _differ(found, wrap(case.form, assemble(case.form, parts)))
    return _outcome(case, "failure", words) if words else _outcome(case, "equal")


def _differ(found: Any, expected: Any, where: str = "") -> str | None:
    """Returns where and how a nest differs from what is expected."""
    if expected is None:
        return None if found is None else f"{where}: not None"
    if isinstance(expected, _LEAVES):
        words = _differ_leaf(found, expected)
        return f"{where or 'images'}: {words}" if words else None
    sequences = isinstance(expected, list) and isinstance(found, (tuple, list))
    if type(found) is not type(expected) and not sequences:
        return f"{where}: {type(found).__name__} instead of {type(expected).__name__}"
    if len(found) != len(expected):
        return f"{where}: {len(found)} entries instead of {len(expected)}"
    if isinstance(expected, dict):
        if sorted(found) != sorted(expected):
            return f"{where}: keys {list(found)} instead of {list(expected)}"
        pairs = [(key, found[key], expected[key]) for key in expected]
    else:
        pairs = [(i, *x) for i, x in enumerate(zip(found, expected, strict=True))]
    each = (_differ(x, y, f"{where}[{key!r}]") for key, x, y in pairs)
    return next((words for words in each if words), None)


def _differ_leaf(found: Any, expected: Any) -> str | None:
    if isinstance(expected, Rows):  # They become tensors, which do not change.
        return None
    if isinstance(expected, ExpectedRows):
        return compare_rows(found, expected)
    try:
        array = drawn.to_array(found)
    except Exception as error:
        return f"no array: {error}"
    if isinstance(expected, Expected):
        return compare(array, array.dtype.name, expected)
    values = expected.values if isinstance(expected, Same) else expected
    values = np.asarray(values)
    if array.dtype.kind in "SUO" and values.dtype.kind in "SU":
        same = array.astype("S").tolist() == values.astype("S").tolist()
        return None if same else "strings changed"
    if array.dtype != values.dtype:
        return f"dtype {array.dtype} instead of {values.dtype}"
    same = array.shape == values.shape and array.tobytes() == values.tobytes()
    return None if same else "values changed"
