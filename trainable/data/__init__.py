"""Data sets: three sources, one contract (`contract.ImageData`), decoded once and cached as arrays."""
