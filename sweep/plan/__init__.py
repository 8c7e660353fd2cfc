"""What a run would train: the command plan."""
