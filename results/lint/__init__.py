"""Rules that find suspicious values in a table of results."""
