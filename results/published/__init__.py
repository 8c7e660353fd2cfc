"""The published results that this project reproduces, as rows of data with their source."""
