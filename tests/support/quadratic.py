"""Quadratic networks, whose derivatives are known, and their images."""

import keras
import numpy as np

BACKEND = keras.config.backend()


class Quadratic(keras.layers.Layer):
    """z_c = x . Q_c x + b_c . x + a_c for the values x of an image in a row."""

    def __init__(self, values, *, classes, seed=0, dtype="float64", flat=False):
        super().__init__(dtype=dtype)
        generator = np.random.default_rng(seed)
        self.square = generator.normal(size=(classes, values, values))
        self.slope = generator.normal(size=(classes, values))
        self.offset = generator.normal(size=classes)
        self.flat = flat

    def build(self, _):
        self.terms = []
        for number, value in enumerate((self.square, self.slope, self.offset)):
            weight = self.add_weight(shape=value.shape, name=f"term_{number}")
            weight.assign(value)
            self.terms.append(weight)

    def call(self, x):
        square, slope, offset = self.terms
        ops = keras.ops
        rows = ops.reshape(x, (-1, slope.shape[1]))
        logits = ops.einsum("bi,cij,bj->bc", rows, square, rows)
        # Keras's matmul rounds float64 to float32 on PyTorch.
        logits = logits + ops.einsum("bi,ci->bc", rows, slope) + offset
        return logits[:, 0] if self.flat else logits

    # The same in NumPy, `x` of any shape, one image.

    def logits(self, x):
        x = x.reshape(-1)
        return self.square @ x @ x + self.slope @ x + self.offset

    def jacobian(self, x):
        """Returns `(classes, values)`."""
        return self.slope + self.hessian() @ x.reshape(-1)

    def hessian(self):
        """Returns `(classes, values, values)`."""
        return self.square + self.square.transpose(0, 2, 1)


def draw_images(count, shape, *, classes, scale=1.0, seed=0):
    """Returns images of normal values and class ids, each class first once."""
    generator = np.random.default_rng(1000 + seed)
    images = generator.normal(size=(count, *shape)) * scale
    ids = np.r_[np.arange(classes), generator.integers(0, classes, count)][:count]
    return images, ids


def softmax(logits):
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))
