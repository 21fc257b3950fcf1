"""What a figure shows, by the values of its panels and texts."""

import itertools

import numpy as np
import pytest
from matplotlib import pyplot

import keras_msda as msda
from keras_msda import plot
from tests.support.figures import check_texts, checkered, shown


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def test_panels_are_own_partner_mask_and_mix():
    images = checkered()
    layer = msda.HMixLayer(pairing="roll")
    panels = plot.sample_panels(layer, images, lam=(0.3, 0.5, 0.7), seed=(1, 2))
    axes = plot.panel_figure([panels]).axes
    for sample in range(3):
        own, partner, mask, mix = (shown(a) for a in axes[4 * sample : 4 * sample + 4])
        np.testing.assert_array_equal(own, images[sample])
        np.testing.assert_array_equal(partner, images[sample - 1])
        share = mask[..., None]
        expected = share * own + (1 - share) * partner
        np.testing.assert_allclose(mix, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "kind",
    [
        msda.MixUpLayer,
        msda.CutMixLayer,
        msda.HMixLayer,
        msda.GMixLayer,
        msda.FMixLayer,
    ],
)
def test_the_printed_weight_is_the_mean_of_the_mask_shown(kind):
    figure = plot.mixes(
        checkered(), kind(pairing="roll"), lam=(0.2, 0.5, 0.8), seed=(3, 4)
    )
    for sample, lam in enumerate((0.2, 0.5, 0.8)):
        mask, mix = figure.axes[4 * sample + 2 : 4 * sample + 4]
        assert mask.get_title() == f"mask\nλ = {lam:.2f}"
        printed = float(mix.get_title().removeprefix("mix\nweight "))
        np.testing.assert_allclose(shown(mask).mean(), printed, rtol=0, atol=0.00501)


def test_a_drawn_lambda_is_not_made_up():
    panels = plot.sample_panels(msda.GMixLayer(), checkered(), lam=None, seed=(1, 2))
    assert np.isnan(panels.lam).all()
    assert "λ" not in "".join(titles(plot.panel_figure([panels])))


def test_one_seed_is_one_figure_and_another_is_another():
    layer = msda.CutMixLayer(pairing="roll")
    one, again, other = (
        plot.sample_panels(layer, checkered(), lam=0.5, seed=seed)
        for seed in ((1, 2), (1, 2), (1, 3))
    )
    np.testing.assert_array_equal(one.mask, again.mask)
    assert (one.mask != other.mask).any()


def test_rows_are_named_after_their_layers():
    layers = [msda.MixUpLayer(pairing="roll"), msda.FMixLayer(pairing="roll")]
    figure = plot.mixes(checkered(batch=2), layers, lam=0.5)
    names = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert names[:2] == ["MixUp", "FMix"]
    assert titles(figure)[:4] == [
        "own\n",
        "partner\n",
        "mask\nλ = 0.50",
        "mix\nweight 0.50",
    ]


def test_only_some_samples_are_shown():
    panels = plot.sample_panels(msda.HMixLayer(), checkered(), lam=0.5, seed=(1, 2))
    # Four panels and the colour bar.
    assert len(plot.panel_figure([panels], shown=1).axes) == 5


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.full((2, 3, 4), 51, np.uint8), (2, 3, 4, 1)),
        (np.full((2, 3, 4, 3), 51, np.int64), (2, 3, 4, 3)),
        (np.full((2, 3, 4, 1), 0.2, np.float64), (2, 3, 4, 1)),
    ],
)
def test_images_of_any_dtype_become_floats(given, expected):
    floats = plot.as_floats(given)
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(floats, np.full(expected, 0.2, np.float32))


@pytest.mark.parametrize("shape", [(4, 4), (2, 4, 4, 2), (2, 3, 4, 4, 1)])
def test_other_shapes_are_told(shape):
    with pytest.raises(ValueError, match=r"Received: shape=\(" + str(shape[0])):
        plot.as_floats(np.zeros(shape))


@pytest.mark.long
@pytest.mark.parametrize(
    ("size", "samples"), [((28, 28), 3), ((12, 40), 1), ((60, 9), 2), ((1, 1), 1)]
)
def test_no_text_is_cut_off(size, samples):
    images = checkered(batch=samples + 1, size=size, channels=1)
    layers = [msda.HMixLayer(pairing="roll"), msda.CutMixLayer(pairing="roll")]
    rows = [plot.sample_panels(each, images, lam=0.25, seed=(1, 2)) for each in layers]
    check_texts(plot.panel_figure(rows, shown=samples))
    check_texts(plot.mixes(images, layers, layout="columns"))


def test_titles_do_not_run_into_each_other():
    images = checkered(batch=3, size=(28, 28))
    figure = plot.mixes(images, msda.HMixLayer(pairing="roll"), lam=0.25)
    figure.canvas.draw()
    boxes = [axes.title.get_window_extent() for axes in figure.axes[:12]]
    gaps = [right.x0 - left.x1 for left, right in itertools.pairwise(boxes)]
    assert min(gaps) > 0


# In columns, as in the paper.

LAYERS = (
    msda.MixUpLayer,
    msda.CutMixLayer,
    msda.HMixLayer,
    msda.GMixLayer,
    msda.FMixLayer,
)


def columns(layers, images=None, **settings):
    """Returns the originals, and the mix and the mask of each layer."""
    images = checkered(batch=2) if images is None else images
    axes = plot.mixes(images, layers, layout="columns", **settings).axes
    count = len(layers)
    return axes[:2], axes[2 : 2 + count], axes[2 + count : 2 + 2 * count]


@pytest.mark.parametrize("pairing", ["shuffle", "roll"])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_column_is_the_mix_of_both_images_by_the_mask_below(kind, pairing):
    # A probability of 0 would mix no batch: it is not of the method's mask.
    layer = kind(pairing=pairing, probability=0.0)
    for seed in ((0, 1), (0, 2)):
        originals, mixed, masks = columns([layer], lam=0.4, seed=seed)
        own, partner = map(shown, originals)
        np.testing.assert_array_equal([own, partner], checkered(batch=2))
        share = shown(masks[0])[..., None]
        expected = share * own + (1 - share) * partner
        np.testing.assert_allclose(shown(mixed[0]), expected, rtol=0, atol=1e-6)
        assert share.mean() < 1
        title = f"{kind.__name__[:-5]}\nweight {share.mean():.2f}"
        assert mixed[0].get_title() == title


@pytest.mark.parametrize("kind", [msda.SaliencyMixLayer, msda.PuzzleMixLayer])
def test_columns_have_layers_that_look_at_images(kind):
    layer = kind(blocks=4) if kind is msda.PuzzleMixLayer else kind()
    _, mixed, masks = columns([layer], lam=0.4)
    title = f"{kind.__name__[:-5]}\nweight {shown(masks[0]).mean():.2f}"
    assert mixed[0].get_title() == title


@pytest.mark.parametrize("per", ["pair", "batch"])
def test_one_lambda_serves_layers_with_fewer_masks_than_images(per):
    layer = msda.MixUpLayer(per=per, pairing="shuffle", seed=1)
    panels = plot.sample_panels(layer, checkered(batch=4), lam=0.25, seed=(1, 2))
    np.testing.assert_array_equal(panels.lam, np.full(4, 0.25, np.float32))
    assert set(panels.weight) <= {np.float32(0.25), 1.0}


def test_columns_have_the_papers_lambda_or_the_one_given():
    _, _, masks = columns([msda.MixUpLayer(), msda.MixUpLayer()])
    for mask in masks:
        np.testing.assert_allclose(shown(mask), 0.65, rtol=1e-6)
    figure = plot.mixes(checkered(), msda.MixUpLayer(), lam=0.2, layout="columns")
    assert figure.get_suptitle() == "λ = 0.20"
    np.testing.assert_allclose(shown(figure.axes[3]), 0.2, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"layout": "grid"}, r'"rows", "columns".*layout=\'grid\''),
        ({"layout": "columns", "lam": (0.2, 0.3)}, r"lam=\(0.2, 0.3\).*one lambda"),
        ({"layout": "columns", "batch": 1}, r"two images.*\(1, 12, 16, 3\)"),
    ],
    ids=["layout", "lambdas", "image"],
)
def test_wrong_columns_are_told(settings, expected):
    images = checkered(batch=settings.pop("batch", 3))
    with pytest.raises(ValueError, match=expected):
        plot.mixes(images, msda.MixUpLayer(), **settings)


def test_pyplot_keeps_no_figure():
    before = pyplot.get_fignums()
    plot.mixes(checkered(), msda.MixUpLayer(), lam=0.5)
    assert pyplot.get_fignums() == before
