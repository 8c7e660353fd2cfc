"""Statistics on results: noise, verdicts, comparisons with published numbers, importance."""
