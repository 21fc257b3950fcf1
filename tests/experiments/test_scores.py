"""The scores against loops that compute them by hand."""

import keras
import numpy as np
import pytest
from scipy import stats

from keras_msda.experiments import _scores, _statistics

RNG = np.random.default_rng(5)
LOGITS = RNG.normal(size=(40, 4)).astype(np.float32) * 3
LABELS = RNG.integers(0, 4, 40)
IMAGES = RNG.random((6, 9, 7, 2)).astype(np.float32)


def softmax(row):
    powers = [float(np.exp(np.float64(x) - max(row))) for x in row]
    return [p / sum(powers) for p in powers]


def test_accuracy_counts_the_largest_logit():
    right = sum(max(range(4), key=lambda k, r=r: r[k]) == y for r, y in cases())
    assert _scores.accuracy(LOGITS, LABELS) == pytest.approx(right / 40)


def cases():
    return list(zip(LOGITS.tolist(), LABELS.tolist(), strict=True))


def test_the_likelihood_is_that_of_the_labels():
    total = sum(-np.log(softmax(row)[y]) for row, y in cases())
    found = _scores.negative_log_likelihood(LOGITS, LABELS)
    np.testing.assert_allclose(found, total / 40, rtol=1e-6)


def test_the_likelihood_of_huge_logits_is_finite():
    found = _scores.negative_log_likelihood(np.array([[0.0, 1e4]]), np.array([0]))
    assert found == pytest.approx(1e4)


@pytest.mark.parametrize("bins", [1, 3, 15])
def test_the_calibration_error_is_that_of_its_bins(bins):
    gap = 0.0
    for b in range(bins):
        inside = []
        for row, y in cases():
            p = softmax(row)
            if b / bins < max(p) <= (b + 1) / bins:
                inside.append((float(np.argmax(row) == y), max(p)))
        if inside:
            right, sure = np.mean(inside, axis=0)
            gap += len(inside) / 40 * abs(right - sure)
    found = _scores.calibration_error(LOGITS, LABELS, bins=bins)
    np.testing.assert_allclose(found, gap, rtol=0, atol=1e-9)


def test_full_confidence_is_in_the_last_bin():
    # Sure and wrong, nearly sure and right: their errors cancel in one bin.
    logits = np.log(np.array([[1.0, 1e-30], [0.95, 0.05]]))
    found = _scores.calibration_error(logits, np.array([1, 0]), bins=3)
    np.testing.assert_allclose(found, abs((0 - 1) + (1 - 0.95)) / 2, rtol=1e-9)


def test_occlusion_covers_a_square_of_its_share():
    found = _scores.occlude(IMAGES, 0.25, seed=3)
    side = round((0.25 * 63) ** 0.5)
    places = []
    for before, after in zip(IMAGES, found, strict=True):
        rows, columns = np.nonzero((after == 0.5).all(-1))
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (side, side)
        assert len(rows) == side * side
        changed = (before != after).any(-1)
        assert set(zip(*np.nonzero(changed), strict=True)) <= set(
            zip(rows, columns, strict=True)
        )
        places.append((rows.min(), columns.min()))
    assert len(set(places)) > 1
    np.testing.assert_array_equal(found, _scores.occlude(IMAGES, 0.25, seed=3))
    assert (found != _scores.occlude(IMAGES, 0.25, seed=4)).any()


def test_occlusion_of_everything_is_grey():
    assert (_scores.occlude(IMAGES, 1.0, seed=0)[:, :, :7] == 0.5).mean() > 0.85


def test_noise_has_its_deviation_and_stays_in_the_range():
    grey = np.full((20, 16, 16, 1), 0.5, np.float32)
    found = _scores.add_noise(grey, 0.1, seed=1)
    assert found.dtype == np.float32
    np.testing.assert_allclose((found - 0.5).std(), 0.1, rtol=0.03)
    np.testing.assert_allclose(found.mean(), 0.5, rtol=0, atol=0.005)
    strong = _scores.add_noise(grey, 1.0, seed=1)
    assert (strong.min(), strong.max()) == (0, 1)
    np.testing.assert_array_equal(found, _scores.add_noise(grey, 0.1, seed=1))
    assert (found != _scores.add_noise(grey, 0.1, seed=2)).any()


def test_blur_is_a_separable_sum_over_reflected_pixels():
    sigma, reach = 0.7, 12
    offsets = np.arange(-reach, reach + 1)
    # SciPy cuts the kernel at four sigmas.
    kernel = np.exp(-(offsets**2) / (2 * sigma**2)) * (
        abs(offsets) <= int(4 * sigma + 0.5)
    )
    kernel /= kernel.sum()
    expected = IMAGES.astype(np.float64)
    for axis in (1, 2):
        length = expected.shape[axis]
        total = np.zeros_like(expected)
        for offset, weight in zip(offsets, kernel, strict=True):
            index = (np.arange(length) + offset) % (2 * length)
            index = np.where(index < length, index, 2 * length - 1 - index)
            total += weight * expected.take(index, axis)
        expected = total
    np.testing.assert_allclose(_scores.blur(IMAGES, sigma), expected, rtol=0, atol=1e-5)


def linear_model(weights):
    inputs = keras.Input((2, 2, 1))
    dense = keras.layers.Dense(3, use_bias=False)
    outputs = dense(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, outputs)
    dense.set_weights([weights])
    return model


def test_fgsm_steps_along_the_sign_of_the_exact_gradient():
    weights = RNG.normal(size=(4, 3)).astype(np.float32)
    images = RNG.random((5, 2, 2, 1)).astype(np.float32)
    labels = RNG.integers(0, 3, 5)
    judge = _scores.Judge(linear_model(weights))
    signs = judge.find_signs(images, labels)
    for image, label, found in zip(images, labels, signs, strict=True):
        residual = np.array(softmax((image.reshape(4) @ weights).tolist()))
        residual[label] -= 1
        np.testing.assert_array_equal(found.reshape(4), np.sign(weights @ residual))
    moved = _scores.attack(images, signs, epsilon=8)
    np.testing.assert_allclose(
        moved, np.clip(images + 8 / 255 * signs, 0, 1), rtol=0, atol=1e-6
    )


def test_robust_scores_are_those_of_changed_images():
    weights = RNG.normal(size=(4, 3)).astype(np.float32)
    images = RNG.random((10, 2, 2, 1)).astype(np.float32)
    labels = (images.reshape(10, 4) @ weights).argmax(-1)
    levels = {"fgsm": (2, 200), "noise": (0.3,), "blur": (1,), "occlusion": (0.25,)}
    judge = _scores.Judge(linear_model(weights), batch=4)  # The last one is filled up.
    found = _scores.score_robust(judge, images, labels, levels=levels, seed=6)
    assert found["unchanged"] == {"0": 1.0}
    assert found["fgsm"]["200"] < found["fgsm"]["2"]
    changed = {
        "noise": _scores.add_noise(images, 0.3, seed=6),
        "blur": _scores.blur(images, 1),
        "occlusion": _scores.occlude(images, 0.25, seed=6),
    }
    for name, pixels in changed.items():
        right = ((pixels.reshape(10, 4) @ weights).argmax(-1) == labels).mean()
        assert list(found[name].values()) == [pytest.approx(right)], name


def test_bytes_become_numbers_from_zero_to_one():
    found = _scores.as_floats(np.array([0, 51, 255], np.uint8))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [0, 0.2, 1], rtol=1e-6)


# Statistics.


@pytest.mark.parametrize("count", [2, 3, 5, 30])
def test_the_interval_is_students(count):
    values = RNG.normal(size=count)
    found = _statistics.estimate(values.tolist())
    low, high = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    np.testing.assert_allclose(found.mean - found.reach, low, rtol=1e-9)
    np.testing.assert_allclose(found.mean + found.reach, high, rtol=1e-9)
    assert found.excludes_zero == (low > 0 or high < 0)


def test_one_value_has_no_interval():
    found = _statistics.estimate([0.5])
    assert found.mean == 0.5
    assert np.isnan(found.reach)
    assert not found.excludes_zero


def test_a_value_that_is_missing_leaves_no_mean():
    assert np.isnan(_statistics.estimate([0.5, None]).mean)
    assert not _statistics.estimate([0.5, None]).excludes_zero


@pytest.mark.parametrize(("levels", "expected"), [((1, 2, 3), 2), ((1, 2, 4, 8), 4)])
def test_the_middle_of_an_even_number_is_the_higher(levels, expected):
    assert _statistics.middle(levels) == expected
