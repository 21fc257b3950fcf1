"""Slow, plain float64 counterparts of every mask, mix and loss, for tests only.

Each function follows its formula pixel by pixel, shares no code with the library and
takes `lam` as the float32 numbers it is given, never as the decimals behind them.
"""

import itertools
import math
from fractions import Fraction

import numpy as np

# Two steps of float32 just below 1: more than rounding lam and 1 - lam can lose.
SLACK = Fraction(1, 2**23)


def _exact(value):
    """Returns a float32 (or Python float) as the rational number it stands for."""
    return Fraction(float(value))


def pixels(size):
    """Lists the index tuples of an array of this size in C order."""
    return list(itertools.product(*(range(length) for length in size)))


def _per_axis(rounding, batch, rank):
    """Spreads rounding noise, a number or one value a sample and axis, to (B, rank)."""
    return np.broadcast_to(np.asarray(rounding, np.float32), (batch, rank))


def _means(mask):
    """Averages each sample of a batch of masks."""
    return np.array([np.mean(sample) for sample in mask], np.float64)


# Boxes


def box_side(share, length, rank, rounding=0.0):
    """Returns the side of a box with this float32 share of the area, on one axis."""
    share, rounding = _exact(share), _exact(rounding)
    if share == 0:
        return 0
    side = 0
    for k in range(length + 1):
        if max(k - rounding, 0) ** rank <= length**rank * (share + SLACK):
            side = k
    return side


def box_side_chance(share, length, rank):
    """Returns the chance that uniform rounding noise lengthens the side by a pixel."""
    side = box_side(share, length, rank)
    if share == 0 or side == length:
        return 0.0
    return length * float(_exact(share) + SLACK) ** (1 / rank) - side


def box_axis(center, side, length, border="clip"):
    """Tells for each pixel of one axis whether the box covers it."""
    if border == "clip":
        half = side // 2
        return [center - half <= y < center + half for y in range(length)]
    start = center - side // 2
    if border == "clip_odd":
        return [start <= y < start + side for y in range(length)]
    if border == "wrap":
        return [(y - start) % length < side for y in range(length)]
    start = min(max(start, 0), length - side)
    return [start <= y < start + side for y in range(length)]


def _box(share, center, size, border, rounding):
    """Tells for each pixel whether one sample's box covers it."""
    axes = []
    for c, length, noise in zip(center, size, rounding, strict=True):
        side = box_side(share, length, len(size), noise)
        axes.append(box_axis(int(c), side, length, border))
    covered = np.zeros(size, bool)
    for pixel in pixels(size):
        covered[pixel] = all(axis[y] for axis, y in zip(axes, pixel, strict=True))
    return covered


def box_mask(lam, center, size, border="clip", rounding=0.0):
    """Masks of CutMix: 0 inside a box of share 1 - lam, 1 outside."""
    rounding = _per_axis(rounding, len(lam), len(size))
    mask = np.ones((len(lam), *size))
    for i in range(len(lam)):
        share = np.float32(1) - np.float32(lam[i])
        mask[i][_box(share, center[i], size, border, rounding[i])] = 0
    return mask, _means(mask)


def timm_weights(rng, draws, size, alpha=1.0, minmax=None):
    """Draws label weights of CutMix as timm does from 1.0.29 on.

    A side is cut to whole pixels, its larger half comes from the centre on, and the
    box ends at the border. With `minmax` sides are drawn, the upper end left out, and
    boxes lie inside.
    """
    weights = []
    for lam in rng.beta(alpha, alpha, draws):
        covered = 1
        for length in size:
            if minmax is None:
                side = int(length * math.sqrt(1 - lam))
                center = int(rng.integers(0, length))
                first, after = center - side // 2, center + (side + 1) // 2
                covered *= min(after, length) - max(first, 0)
            else:
                least, most = (int(length * ratio) for ratio in minmax)
                covered *= int(rng.integers(least, most))
        weights.append(1 - covered / math.prod(size))
    return np.array(weights)


def floor_box_mask(lam, center, size, box_ratio=0.5, border="clip"):
    """Masks of HMix: 0 inside a box of share r (1 - lam), one level mu outside."""
    mask = np.zeros((len(lam), *size))
    for i in range(len(lam)):
        share = np.float32(box_ratio) * (np.float32(1) - np.float32(lam[i]))
        covered = _box(share, center[i], size, border, [0.0] * len(size))
        outside = 1 - np.mean(covered)
        mu = 0.0 if outside == 0 else min(max(float(lam[i]) / outside, 0.0), 1.0)
        mask[i][~covered] = mu
    return mask, _means(mask)


def constant_mask(lam, size):
    """Masks of MixUp: lam at every pixel."""
    mask = np.array([np.full(size, float(value)) for value in lam])
    return mask, _means(mask)


# Gaussian bumps


def _bump(width, center, size, border):
    """Draws exp(-pi sum_a d_a^2 / (width L_a^2)), d_a the distance on axis a."""
    bump = np.zeros(size)
    for pixel in pixels(size):
        exponent = 0.0
        for y, c, length in zip(pixel, center, size, strict=True):
            distance = abs(y - int(c))
            if border == "wrap":
                distance = min(distance, length - distance)
            exponent += distance**2 / (width * length**2)
        bump[pixel] = math.exp(-math.pi * exponent)
    return bump


def _axis_mean(width, length):
    """Averages one axis of a wrapped bump."""
    near = [min(y, length - y) for y in range(length)]
    terms = [math.exp(-math.pi * d**2 / (width * length**2)) for d in near]
    return sum(terms) / length


def wrap_width(rho, size):
    """Finds the width at which the wrapped bump averages to rho, by bisection."""
    low, high = -100.0, 20.0
    for _ in range(100):
        middle = (low + high) / 2
        means = [_axis_mean(math.exp(middle), length) for length in size]
        if math.prod(means) < rho:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


def _calibrated_bump(rho, center, size):
    """Draws the wrapped bump of mean rho; below one pixel's worth, a scaled pixel."""
    count = math.prod(size)
    if rho * count <= 1:
        bump = np.zeros(size)
        bump[tuple(int(c) for c in center)] = rho * count
        return bump
    return _bump(wrap_width(rho, size), center, size, "wrap")


def gaussian_mask(lam, center, size, border="clip"):
    """Masks of GMix: a bump of share rho = min(lam, 1 - lam), or 1 less the bump."""
    mask = np.zeros((len(lam), *size))
    for i in range(len(lam)):
        value = float(lam[i])
        rho = min(value, 1 - value)
        if rho == 0:
            bump = np.zeros(size)
        elif border == "wrap":
            bump = _calibrated_bump(rho, center[i], size)
        else:
            bump = _bump(rho ** (2 / len(size)), center[i], size, border)
        mask[i] = bump if value < 0.5 else 1 - bump
    return mask, _means(mask)


# Thresholded random fields


def top_count(lam, n, rounding=0.0):
    """Returns how many of n pixels are 1: floor(lam n + rounding), without error."""
    return min(math.floor(_exact(lam) * n + _exact(rounding)), n)


def _soft_half_width(lam, n, count, max_soft):
    """Returns half the number of pixels in the soft band between 1 and 0."""
    softness = float(max_soft)
    if softness > lam or softness > 1 - lam:
        softness = min(lam, 1 - lam)
    return min(int(n * softness), count, n - count)


def fourier_mask(lam, field, max_soft=0.0, rounding=0.0):
    """Masks of FMix: 1 on the highest pixels of the field, ties to the lower index."""
    rounding = np.broadcast_to(np.asarray(rounding, np.float32), (len(lam),))
    mask = np.zeros(field.shape)
    for i in range(len(lam)):
        values = [float(value) for value in field[i].ravel()]
        n = len(values)
        count = top_count(lam[i], n, rounding[i])
        soft = _soft_half_width(float(lam[i]), n, count, max_soft)
        band = np.linspace(1, 0, 2 * soft)
        order = sorted(range(n), key=lambda j, values=values: (-values[j], j))
        for rank, j in enumerate(order):
            if rank < count - soft:
                mask[i].flat[j] = 1
            elif rank < count + soft:
                mask[i].flat[j] = band[rank - count + soft]
    return mask, _means(mask)


def _signed(index, length):
    """Returns the signed frequency at an index in FFT order."""
    return index if index <= (length - 1) // 2 else index - length


def _falloff(frequencies, size, decay_power):
    """Returns 1 / max(f, 1 / longest axis)**decay_power, f in cycles per pixel."""
    f = math.sqrt(sum(frequency**2 for frequency in frequencies))
    return 1 / max(f, 1 / max(size)) ** decay_power


def amplitude(size, decay_power):
    """Returns the amplitude of every frequency of the half spectrum."""
    half = (*size[:-1], size[-1] // 2 + 1)
    grid = np.zeros(half)
    for index in pixels(half):
        pairs = zip(index, size, strict=True)
        cycles = [_signed(k, length) / length for k, length in pairs]
        grid[index] = _falloff(cycles, size, decay_power)
    return grid


def discarded_variance(size, decay_power, kept):
    """Returns the share of variance, mean apart, outside |k_a| <= kept[a]."""
    grid = amplitude(size, decay_power)
    total = lost = 0.0
    for index in pixels(grid.shape):
        if not any(index):
            continue
        self_conjugate = index[-1] == 0 or 2 * index[-1] == size[-1]
        power = grid[index] ** 2 * (1 if self_conjugate else 2)
        pairs = zip(index, size, strict=True)
        signed = [abs(_signed(k, length)) for k, length in pairs]
        total += power
        if any(k > limit for k, limit in zip(signed, kept, strict=True)):
            lost += power
    return lost / total if total else 0.0


def _spectrum(noise, size, decay_power):
    """Returns the kept coefficients: frequency (k_0, ..., k_last) to values (B,)."""
    rows, columns = noise.shape[1:-2], range(noise.shape[-2])
    grid = amplitude(size, decay_power)
    scale = math.sqrt(math.prod(size) / 2)

    def drawn(index, column):
        frequency = [_signed(k, m) for k, m in zip(index, rows, strict=True)]
        pairs = zip(frequency, size[:-1], strict=True)
        place = (*(k % length for k, length in pairs), column)
        real, imaginary = np.moveaxis(noise[(slice(None), *index, column)], -1, 0)
        return (real + 1j * imaginary) * grid[place] * scale

    spectrum = {}
    for index, column in itertools.product(pixels(rows), columns):
        value = drawn(index, column)
        if column == 0 or 2 * column == size[-1]:
            opposite = tuple(-k % m for k, m in zip(index, rows, strict=True))
            value = (value + np.conj(drawn(opposite, column))) / math.sqrt(2)
        pairs = zip(index, rows, strict=True)
        spectrum[(*(_signed(k, m) for k, m in pairs), column)] = value
    return spectrum


def fourier_field(noise, size, decay_power):
    """Sums the waves of a random half spectrum, kept up to some frequency an axis."""
    noise = np.asarray(noise, np.float64)
    field = np.zeros((len(noise), *size))
    for frequency, value in _spectrum(noise, size, decay_power).items():
        alone = frequency[-1] == 0 or 2 * frequency[-1] == size[-1]
        value = value * (1 if alone else 2) / math.prod(size)
        for pixel in pixels(size):
            triples = zip(frequency, pixel, size, strict=True)
            angle = 2 * math.pi * sum(k * y / length for k, y, length in triples)
            wave = value.real * math.cos(angle) - value.imag * math.sin(angle)
            field[(slice(None), *pixel)] += wave
    return field


def official_axes(size):
    """Returns the frequencies along the axes of the published code's noise."""
    if len(size) == 1:
        return ()
    count = size[1] // 2 + (2 if size[1] % 2 else 1)
    half = np.fft.fftfreq(size[1])[:count]
    return (half,) if len(size) == 2 else (np.fft.fftfreq(size[2]), half)


def official_field(noise, size, decay_power):
    """Returns the field of the published code, which mistakes a row for a real part."""
    noise = np.asarray(noise, np.float64)
    axes = official_axes(size)
    rows = [0.0, float(np.fft.fftfreq(size[0])[1]) if size[0] > 1 else 0.0]
    fields = []
    for sample in noise:
        coefficients = np.zeros(sample.shape[1:], complex)
        for index in pixels(coefficients.shape):
            along = [axis[k] for axis, k in zip(axes, index[:-1], strict=True)]
            scales = [_falloff([row, *along], size, decay_power) for row in rows]
            real, imaginary = sample[(0, *index)], sample[(1, *index)]
            coefficients[index] = real * scales[0] + 1j * imaginary * scales[1]
        axis_numbers = tuple(range(len(size)))
        fields.append(np.fft.irfftn(coefficients, size, axes=axis_numbers))
    return np.stack(fields)


# Mixing


def blend(own, other, share):
    """Mixes two numbers, exactly at share 0 and 1 even beside NaN and infinity."""
    if share == 1:
        return own
    if share == 0:
        return other
    return share * own + (1 - share) * other


def mix_images(images, partner, mask, data_format="channels_last"):
    """Mixes every image with its partner's, pixel by pixel."""
    images, mask = np.asarray(images, np.float64), np.asarray(mask, np.float64)
    first = data_format == "channels_first"
    mixed = np.empty_like(images)
    for i, pixel in itertools.product(range(len(images)), pixels(mask.shape[1:])):
        place = (slice(None), *pixel) if first else (*pixel, slice(None))
        own, other = images[i][place], images[partner[i]][place]
        mixed[i][place] = blend(own, other, mask[(i, *pixel)])
    return mixed


def mix_labels(labels, partner, weight):
    """Mixes every row of soft labels with its partner's."""
    labels = np.asarray(labels, np.float64)
    pairs = zip(labels, partner, weight, strict=True)
    return np.stack([blend(own, labels[j], float(w)) for own, j, w in pairs])


def one_hot(ids, num_classes, label_smoothing=0.0):
    """Turns class ids into soft labels: s / C off, 1 - s + s / C on."""
    ids = np.ravel(ids)
    off = label_smoothing / num_classes
    labels = np.full((len(ids), num_classes), off, np.float64)
    for i, label in enumerate(ids):
        labels[i, int(label)] = 1 - label_smoothing + off
    return labels


def pack_labels(labels, partner, weight):
    """Packs each sample's own label, its partner's and its weight into one row."""
    labels = np.asarray(labels, np.float64)
    rows = labels.reshape(len(labels), -1)
    packed = zip(rows, partner, weight, strict=True)
    return np.array([[*own, *rows[j], float(w)] for own, j, w in packed])


def mix_sample_weights(sample_weight, labels, partner, weight):
    """Mixes labels and sample weights for a loss that is linear in the label."""
    new_weight, share = [], []
    for i, j in enumerate(partner):
        own = float(weight[i]) * float(sample_weight[i])
        other = (1 - float(weight[i])) * float(sample_weight[j])
        new_weight.append(own + other)
        share.append(own / (own + other) if own + other else float(weight[i]))
    return mix_labels(labels, partner, share), np.array(new_weight)


# Losses


def cross_entropy(soft_labels, probabilities):
    """Returns -sum_c y_c log p_c for each sample; a label of 0 adds nothing."""
    losses = []
    for labels, row in zip(soft_labels, probabilities, strict=True):
        pairs = zip(labels, row, strict=True)
        losses.append(-sum(y * math.log(p) for y, p in pairs if y))
    return np.array(losses, np.float64)


def _pair_shares(partner, weight, sample_weight):
    """Returns w_i weight and w_j (1 - weight) for each sample."""
    if sample_weight is None:
        sample_weight = [1.0] * len(partner)
    own, other = [], []
    for i, j in enumerate(partner):
        own.append(float(sample_weight[i]) * float(weight[i]))
        other.append(float(sample_weight[j]) * (1 - float(weight[i])))
    return np.array(own), np.array(other)


def mixed_loss(ids, partner, weight, probabilities, sample_weight=None):
    """Returns w_i weight l_i + w_j (1 - weight) l_j for each sample."""
    own, other = _pair_shares(partner, weight, sample_weight)
    ids = np.ravel(ids).astype(int)
    terms = []
    for i, j in enumerate(partner):
        loss_own = -math.log(probabilities[i][ids[i]])
        loss_other = -math.log(probabilities[i][ids[j]])
        terms.append(own[i] * loss_own + other[i] * loss_other)
    return np.array(terms)


def mixed_accuracy(ids, partner, weight, scores, sample_weight=None):
    """Returns the weighted share of predictions that meet either label of the pair."""
    own, other = _pair_shares(partner, weight, sample_weight)
    ids = np.ravel(ids).astype(int)
    hits = 0.0
    for i, j in enumerate(partner):
        best = int(np.argmax(scores[i]))
        hits += own[i] * (best == ids[i]) + other[i] * (best == ids[j])
    return hits / (np.sum(own) + np.sum(other))
