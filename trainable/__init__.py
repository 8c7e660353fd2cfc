"""Training of one configuration. Free of torch: config, records, ledger, provenance; of Ray: all but tune_adapter."""
