"""The published results that the project grew from, as rows of data with their source."""
