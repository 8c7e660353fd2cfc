"""Ray: its environment, the cluster, the Tune run and its callbacks. No other package starts Ray."""
