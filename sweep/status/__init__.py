"""The state of a sweep: status, watch, logs."""
