"""Figures of the theory, by the values of their maps and curves."""

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_rgb

import keras_msda as msda
from keras_msda import analysis, plot
from keras_msda.plot import style
from tests.support.figures import check_texts, shown


def moments_of(shape, *, scale=1.0, exact=True, seed=0, lam=0.5):
    """Returns moments made by hand: any numbers do, as a figure computes nothing."""
    random = np.random.default_rng(seed)
    offsets = tuple(2 * length - 1 for length in shape)
    mean, error = 0.3 + 0.4 * random.random(shape), 0.02 * random.random(shape)
    covariance = scale * random.uniform(-0.1, 0.25, offsets)
    wide = 0.03 * random.random(offsets)
    drawn = (mean, error, covariance, wide, 1234)
    return analysis.MaskMoments(lam, mean, covariance, exact, *drawn)


def coefficients_of(shape, *, exact=True, paper=True, seed=0):
    random = np.random.default_rng(seed)
    offsets = tuple(2 * length - 1 for length in shape)
    second, form = random.random((2, *offsets))
    error = np.zeros(offsets) if exact else 0.1 * random.random(offsets)
    return analysis.Coefficients(
        second, form if paper else None, np.ones(shape), exact, error
    )


def gradients_of(shape, *, scale=0.1, seed=0):
    random = np.random.default_rng(seed)
    offsets = tuple(2 * length - 1 for length in shape)
    return analysis.GradientMap(
        *random.random((2, *offsets)),
        maximum_scale=scale,
        mean_scale=scale / 8,
        images=9,
    )


# Moments.


def test_maps_are_the_means_above_and_the_covariances_below():
    named = {"One": moments_of((6, 8)), "Two": moments_of((6, 8), scale=2.0, seed=1)}
    axes = plot.mask_moments(named).axes
    for above, below, found in zip(axes[:2], axes[2:4], named.values(), strict=True):
        np.testing.assert_array_equal(shown(above), found.mean)
        np.testing.assert_array_equal(shown(below), found.covariance)


def test_methods_have_one_scale_and_covariances_one_about_zero():
    named = {"One": moments_of((6, 8)), "Two": moments_of((6, 8), scale=2.0, seed=1)}
    axes = plot.mask_moments(named).axes
    means = np.stack([found.mean for found in named.values()])
    most = max(np.abs(found.covariance).max() for found in named.values())
    for axis in axes[:2]:
        assert axis.images[0].get_clim() == (means.min(), means.max())
    for axis in axes[2:4]:
        assert axis.images[0].get_clim() == (-most, most)


def test_a_flat_mean_is_not_stretched_to_a_pattern():
    flat = moments_of((4, 4))._replace(mean=np.full((4, 4), 0.98) + 1e-9 * np.eye(4))
    low, high = plot.mask_moments(flat).axes[0].images[0].get_clim()
    np.testing.assert_allclose((low, high), (0.9, 1.0), rtol=0, atol=1e-6)


def test_offset_maps_have_zero_in_the_middle_of_the_middle_pixel():
    below = plot.mask_moments(moments_of((6, 9))).axes[1]
    assert below.images[0].get_extent() == [-8.5, 8.5, 5.5, -5.5]


def test_the_line_of_no_covariance_is_where_the_sign_changes():
    offsets = np.broadcast_to(np.arange(-7.0, 8), (11, 15)) - 2
    found = moments_of((6, 8))._replace(covariance=offsets)
    lines = plot.mask_moments(found).axes[1].collections[0].get_paths()
    vertices = np.concatenate([path.vertices for path in lines])
    np.testing.assert_allclose(vertices[:, 0], 2)
    np.testing.assert_allclose([vertices[:, 1].min(), vertices[:, 1].max()], [-5, 5])


def test_no_line_is_drawn_of_rounding_errors():
    noise = 1e-17 * np.random.default_rng(0).standard_normal((11, 15))
    found = moments_of((6, 8))._replace(covariance=noise)
    assert not plot.mask_moments(found).axes[1].collections


@pytest.mark.parametrize(
    ("exact", "lam", "expected"),
    [
        (True, 0.5, "A\nλ = 0.50, exact\n0.100 … 0.900"),
        (False, None, "A\nλ drawn, 1,234 draws\n0.100 … 0.900, error ≤ 0.02"),
    ],
    ids=["exact", "sampled"],
)
def test_titles_say_what_is_exact_and_which_lambda_it_was(exact, lam, expected):
    mean = np.linspace(0.1, 0.9, 16).reshape(4, 4)
    found = moments_of((4, 4), exact=exact, lam=lam)._replace(mean=mean)
    found = found._replace(mean_error=np.full((4, 4), 0.0212))
    assert plot.mask_moments({"A": found}).axes[0].get_title() == expected


def test_volumes_show_their_central_slice():
    found = moments_of((5, 6, 7))
    figure = plot.mask_moments(found)
    np.testing.assert_array_equal(shown(figure.axes[0]), found.mean[2])
    np.testing.assert_array_equal(shown(figure.axes[1]), found.covariance[4])
    assert "central slice" in figure.get_suptitle()


def test_one_axis_makes_curves_with_bands_where_they_are_sampled():
    named = {"One": moments_of((9,)), "Two": moments_of((9,), exact=False, seed=1)}
    left, right = plot.mask_moments(named).axes
    for number, found in enumerate(named.values()):
        np.testing.assert_array_equal(left.lines[number].get_ydata(), found.mean)
        np.testing.assert_array_equal(right.lines[number].get_ydata(), found.covariance)
    np.testing.assert_array_equal(right.lines[0].get_xdata(), np.arange(-8, 9))
    (band,) = left.collections
    edges = band.get_paths()[0].vertices[:, 1]
    found = named["Two"]
    np.testing.assert_allclose(edges.max(), (found.mean + 2 * found.mean_error).max())


# Coefficients.


def test_curves_are_the_coefficients_by_distance():
    named = {"MixUp": coefficients_of((6, 8)), "Mine": coefficients_of((6, 8), seed=1)}
    lines = plot.coefficients(named).axes[0].lines
    assert [line.get_label() for line in lines] == ["MixUp", "Mine"]
    for line, found in zip(lines, named.values(), strict=True):
        expected = analysis.by_distance(found.second)
        np.testing.assert_array_equal(line.get_xdata(), expected.distance)
        np.testing.assert_array_equal(line.get_ydata(), expected.value)


def test_the_papers_form_is_dashed_and_only_where_asked_for_and_there():
    named = {"A": coefficients_of((6, 8)), "B": coefficients_of((6, 8), paper=False)}
    assert all(x.get_linestyle() == "-" for x in plot.coefficients(named).axes[0].lines)
    lines = plot.coefficients(named, paper=True).axes[0].lines
    (dashed,) = [line for line in lines if line.get_linestyle() == "--"]
    expected = analysis.by_distance(named["A"].paper).value
    np.testing.assert_array_equal(dashed.get_ydata(), expected)


def test_sampled_coefficients_have_a_band_of_two_errors():
    exact, drawn = coefficients_of((6, 8)), coefficients_of((6, 8), exact=False)
    (band,) = plot.coefficients({"A": exact, "B": drawn}).axes[0].collections
    value, error = (analysis.by_distance(x).value for x in (drawn.second, drawn.error))
    edges = band.get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose(edges.min(), (value - 2 * error).min())
    np.testing.assert_allclose(edges.max(), (value + 2 * error).max())


def test_distances_double_from_tick_to_tick():
    axes = plot.coefficients(coefficients_of((20, 20))).axes[0]
    np.testing.assert_array_equal(axes.get_xticks(), [0, 1, 2, 4, 8, 16])
    places = axes.transData.transform([(x, 0.5) for x in (1, 2, 4, 8, 16)])[:, 0]
    np.testing.assert_allclose(np.diff(places, 2), 0, atol=1e-6)


def test_curves_differ_by_more_than_colour():
    names = ("MixUp", "CutMix", "HMix", "GMix", "FMix", "Mine", "Yours")
    named = {name: coefficients_of((4, 4)) for name in names}
    lines = plot.coefficients(named, paper=True).axes[0].lines
    looks = {(line.get_marker(), line.get_linestyle()) for line in lines}
    assert len(looks) == len(lines) == 14
    again = plot.coefficients({name: named[name] for name in ("FMix", "MixUp")})
    kept = {x.get_label(): x.get_color() for x in again.axes[0].lines}
    first = {x.get_label(): x.get_color() for x in lines}
    assert kept == {name: first[name] for name in ("FMix", "MixUp")}


def test_more_curves_than_looks_are_drawn_all_the_same():
    named = {f"{number}": coefficients_of((3, 3)) for number in range(9)}
    assert len(plot.coefficients(named).axes[0].lines) == 9


def test_moments_and_coefficients_are_in_one_figure():
    moments = {"HMix": moments_of((6, 8)), "GMix": moments_of((6, 8), seed=1)}
    curves = {"MixUp": coefficients_of((6, 8)), **{"HMix": coefficients_of((6, 8))}}
    figure = plot.moments_and_coefficients(moments, curves)
    np.testing.assert_array_equal(shown(figure.axes[1]), moments["GMix"].mean)
    labels = [line.get_label() for line in figure.axes[-1].lines]
    assert [label for label in labels if not label.startswith("_")] == [*curves]
    check_texts(figure)


# Gradient maps.


@pytest.mark.parametrize("of", ["maximum", "mean"])
def test_gradient_maps_have_one_scale_and_their_own_above(of):
    named = {"none": gradients_of((6, 8), scale=0.1234), "CutMix": gradients_of((6, 8))}
    axes = plot.gradient_map(named, of=of).axes
    for axis, found in zip(axes[:2], named.values(), strict=True):
        np.testing.assert_array_equal(shown(axis), getattr(found, of))
        assert axis.images[0].get_clim() == (0, 1)
    scale = {"maximum": "0.123", "mean": "0.0154"}[of]
    assert axes[0].get_title() == f"none\nscale {scale}, 9 images"


def test_offsets_that_were_left_out_are_not_shown():
    found = gradients_of((8, 8))
    maximum = np.full((15, 15), np.nan)
    maximum[5:10, 5:10] = found.maximum[5:10, 5:10]
    axes = plot.gradient_map(found._replace(maximum=maximum)).axes[0]
    np.testing.assert_array_equal(shown(axes), found.maximum[5:10, 5:10])
    assert axes.images[0].get_extent() == [-2.5, 2.5, 2.5, -2.5]


def test_gradient_maps_of_signals_are_curves_and_of_volumes_slices():
    signal, volume = gradients_of((9,)), gradients_of((4, 5, 6))
    (line,) = plot.gradient_map({"A": signal}).axes[0].lines
    np.testing.assert_array_equal(line.get_ydata(), signal.maximum)
    np.testing.assert_array_equal(line.get_xdata(), np.arange(-8, 9))
    figure = plot.gradient_map(volume)
    np.testing.assert_array_equal(shown(figure.axes[0]), volume.maximum[3])
    assert "offset 0" in figure.get_suptitle()


# Label weights.


def heights(axes):
    return axes.patches[0].get_data().values


def test_the_hole_of_clipped_gmix_is_seen_and_that_of_wrapped_is_not_there():
    layers = {"clip": msda.GMixLayer(), "wrap": msda.GMixLayer(border="wrap")}
    figure = plot.label_histogram(layers, shape=(16, 16), draws=4000, seed=1)
    assert [x.get_title().partition("\n")[0] for x in figure.axes] == [*layers]
    clip, wrap = map(heights, figure.axes)
    assert len(clip) == 100
    # Bars of the weights from 0.43 to 0.57; next to them there are some.
    np.testing.assert_array_equal(clip[43:57], 0)
    assert clip[35:43].sum() > 0
    assert clip[57:65].sum() > 0
    # 40 weights a bar: five deviations are 0.8 of their mean.
    np.testing.assert_allclose(wrap, 1, rtol=0, atol=0.8)


def test_weights_come_in_parts_that_are_as_many_as_asked_for(monkeypatch):
    layer, module = (
        msda.HMixLayer(alpha=2.0),
        "keras_msda.plot._label_histogram._AT_ONCE",
    )
    monkeypatch.setattr(module, 700 * 16)
    figure = plot.label_histogram(layer, shape=(4, 4), draws=2000)
    counts = heights(figure.axes[0]) * 2000 / 100
    np.testing.assert_allclose(counts, counts.round(), rtol=0, atol=1e-9)
    # Of Beta(2, 2) the middle half has 11/16; five deviations are 0.05.
    middle = heights(figure.axes[0])[25:75].sum() / 100
    np.testing.assert_allclose(middle, 11 / 16, rtol=0, atol=0.05)
    # Two parts of one seed would have each weight twice.
    figure = plot.label_histogram(layer, shape=(4, 4), draws=1400)
    counts = heights(figure.axes[0]) * 1400 / 100
    assert np.any(counts.round() % 2 == 1)


def test_the_dotted_line_is_the_distribution_of_lambda():
    layers = {
        "drawn": msda.MixUpLayer((2.0, 1.0)),
        "own": msda.MixUpLayer(targets="own"),
        "none": msda.CutMixLayer(ratio_range=(0.2, 0.8)),
    }
    figure = plot.label_histogram(layers, shape=(8, 8), draws=100)
    places = np.linspace(0.005, 0.995, 100)
    # Both distributions have the density 2 x; a table of 65,536 has its quantiles.
    for axes in figure.axes[:2]:
        expected = axes.patches[2].get_data().values
        np.testing.assert_allclose(expected, 2 * places, rtol=0, atol=0.01)
    assert len(figure.axes[2].patches) == 2


def test_names_that_come_again_are_numbered():
    layers = [msda.GMixLayer(), msda.MixUpLayer(), msda.GMixLayer(), msda.GMixLayer()]
    figure = plot.label_histogram(layers, shape=(4, 4), draws=10)
    names = [axes.get_title().partition("\n")[0] for axes in figure.axes]
    assert names[:4] == ["GMix", "MixUp", "GMix 2", "GMix 3"]
    assert [axes.get_visible() for axes in figure.axes] == [True] * 4 + [False] * 2


# All of them.

FIGURES = {
    "moments": lambda: plot.mask_moments(
        {"A": moments_of((6, 8), exact=False), "B": moments_of((6, 8))}
    ),
    "moments of one": lambda: plot.mask_moments(moments_of((6, 8))),
    "moments of a strip": lambda: plot.mask_moments(moments_of((4, 40))),
    "moments of volumes": lambda: plot.mask_moments({"A": moments_of((3, 6, 8))}),
    "moments of signals": lambda: plot.mask_moments({"A": moments_of((8,))}),
    "coefficients": lambda: plot.coefficients(coefficients_of((6, 8)), paper=True),
    "gradients": lambda: plot.gradient_map(gradients_of((6, 8))),
    "gradients of signals": lambda: plot.gradient_map({"A": gradients_of((8,))}),
    "labels": lambda: plot.label_histogram(msda.GMixLayer(0.2), shape=(8,), draws=99),
}


@pytest.mark.parametrize("name", FIGURES)
def test_all_text_is_inside_and_pyplot_keeps_nothing(name):
    before = pyplot.get_fignums()
    check_texts(FIGURES[name]())
    assert pyplot.get_fignums() == before


def test_grey_keeps_the_order_of_signed_colours():
    colors = style.SIGNED_COLORS(np.linspace(0, 1, 101))[:, :3]
    grey = colors @ (0.299, 0.587, 0.114)
    assert np.all(np.diff(grey) > 0)
    # Zero has no colour; below it is blue, above red outweighs it.
    assert np.ptp(colors[50]) < 0.02
    assert np.all(colors[:45, 2] > colors[:45, 0] + 0.05)
    assert np.all(colors[56:, 0] > colors[56:, 2] + 0.05)
    assert len({to_rgb(line.color) for line in style.LINES}) == len(style.LINES)


@pytest.mark.parametrize(
    ("function", "given", "kind", "expected"),
    [
        (plot.mask_moments, 3, TypeError, "type MaskMoments.*of type int"),
        (plot.coefficients, {"A": None}, TypeError, "type Coefficients.*NoneType"),
        (plot.gradient_map, {}, ValueError, "something to draw"),
        (
            plot.mask_moments,
            {"A": moments_of((4,)), "B": moments_of((4, 4))},
            ValueError,
            "same number of axes.*'A' with 1, 'B' with 2",
        ),
    ],
    ids=["no result", "no entry", "empty", "ranks"],
)
def test_what_cannot_be_drawn_is_told(function, given, kind, expected):
    with pytest.raises(kind, match=expected):
        function(given)


@pytest.mark.parametrize(
    ("layers", "settings", "kind", "expected"),
    [
        ([], {}, ValueError, "there must be a layer"),
        ([3], {}, TypeError, "mixing layer.*type int"),
        ([msda.MixUpLayer()], {"shape": (2,) * 4}, ValueError, r"\(2, 2, 2, 2\)"),
        ([msda.MixUpLayer()], {"draws": 1}, ValueError, "draws=1"),
    ],
    ids=["none", "no layer", "shape", "draws"],
)
def test_wrong_layers_are_told(layers, settings, kind, expected):
    with pytest.raises(kind, match=expected):
        plot.label_histogram(layers, **({"shape": (4, 4)} | settings))


def test_another_kind_of_gradient_map_is_told():
    with pytest.raises(ValueError, match=r'"maximum", "mean".*of=\'median\''):
        plot.gradient_map(gradients_of((4, 4)), of="median")
