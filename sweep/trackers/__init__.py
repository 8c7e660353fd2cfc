"""Recorded sweeps in MLflow, Weights & Biases and TensorBoard. `sweep.driver.trackers` shows running ones."""
