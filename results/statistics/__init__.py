"""Statistics on results: noise, verdicts, comparisons with the published tables, parameter importance."""
