"""Rules that find what is odd in a table of results."""
