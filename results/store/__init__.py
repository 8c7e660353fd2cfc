"""The store: trials by their key, and the sweeps that name them, in a folder or in a bucket."""
