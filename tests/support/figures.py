"""Images for figures, and what figures show."""

import numpy as np


def checkered(batch=3, size=(12, 16), channels=3):
    values = np.random.default_rng(5).random((batch, *size, channels))
    return values.astype(np.float32)


def shown(axes):
    return np.asarray(axes.images[0].get_array())


def check_texts(figure):
    """Checks that all titles and labels are inside the figure."""
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    for axes in figure.axes:
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
            box = text.get_window_extent()
            if text.get_text().strip():
                assert box.x0 >= 0
                assert box.y0 >= 0
                assert box.x1 <= width
                assert box.y1 <= height
