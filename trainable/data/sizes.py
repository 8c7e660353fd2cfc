"""Sizes of the built-in data sets, so that a sweep can be planned without loading them. Standard library only."""

NUM_IMAGES = {"digits": (1_442, 355), "cifar10": (50_000, 10_000)}
"""Numbers of training and test images by name."""
NUM_CLASSES = {"digits": 10, "cifar10": 10}
IMAGE_SIZE = 32
"""Side of an image of a built-in data set, in pixels."""
