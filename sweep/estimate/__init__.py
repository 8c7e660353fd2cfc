"""How long a run would take."""
