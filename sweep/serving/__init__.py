"""The pages of `serve`: sweeps in a browser, read from their stores while they run. Nothing writes to a store."""
