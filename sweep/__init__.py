"""Running a sweep: what is left to train, what a search proposes, Ray Tune, and what the user sees meanwhile."""
