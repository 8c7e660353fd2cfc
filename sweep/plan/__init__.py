"""What a run would train."""
