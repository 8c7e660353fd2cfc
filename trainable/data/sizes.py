"""How many images the built-in data sets hold, and how large: for planning without loading. Standard library only."""

NUM_IMAGES = {"digits": (1_442, 355), "cifar10": (50_000, 10_000)}
"""Name -> images to train and to test."""
IMAGE_SIZE = 32
"""Side of their images, in pixels."""
