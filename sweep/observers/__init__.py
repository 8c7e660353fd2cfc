"""Objects that follow a run: the live view, the Parquet writer, the Prometheus counters."""
