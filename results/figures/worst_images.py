"""The images that a network gets most wrong, each with its class and the one that was predicted."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from results.figures.style import DPI, literal_text, without_controls, wrapped
from trainable.wording import shortened

COLUMNS = 4
NAME_WIDTH = 20
SIDE = 1.7
"""Width of an image in inches."""


@literal_text()
def worst_images_figure(
    images: NDArray[np.uint8], classes: Sequence[tuple[str, str]], losses: Sequence[float], heading: str
) -> Figure:
    """Draw the images in rows of four.

    Args:
        images: uint8 [N, H, W, 3], at least one.
        classes: true and predicted class of each.
        losses: cross entropy of each in nats.
        heading: the text above all of them.
    """
    num_rows = -(-len(images) // COLUMNS)
    figure = Figure(figsize=(COLUMNS * SIDE + 0.4, num_rows * (SIDE + 0.6) + 0.6), layout="constrained")
    figure.suptitle(wrapped(heading, 70), fontsize="medium")
    for index, axes in enumerate(figure.subplots(num_rows, COLUMNS, squeeze=False).flat):
        axes.set_axis_off()
        if index < len(images):
            axes.imshow(images[index], interpolation="nearest")
            true, predicted = (shortened(name, NAME_WIDTH) for name in classes[index])
            axes.set_title(f"{true}\npredicted {predicted}\nloss {losses[index]:.3g}", fontsize="x-small")
    return without_controls(figure)


@literal_text()
def save_png(figure: Figure, path: Path) -> None:
    """Write a figure of pixels; an SVG of it would hold the same pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # otherwise we would write through a link
    figure.savefig(path, dpi=DPI)
