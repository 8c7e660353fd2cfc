"""Data sets from three sources in one form (`contract.ImageData`), decoded once and cached as arrays."""
