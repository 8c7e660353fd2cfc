"""Where a sweep stands: status, watch, logs."""
