"""Searches: settings, samplers, schedulers, populations, simulation, warm start and the export to Optuna."""
