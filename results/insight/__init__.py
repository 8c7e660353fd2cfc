"""What a table of batch size, learning rate, epochs and error means, with honest bands: pure functions, no files."""
