"""Searches: samplers, schedulers, populations, their simulation and the export of a study."""
