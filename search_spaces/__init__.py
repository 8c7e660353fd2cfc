"""Declarative search spaces: the YAML files that ship, their schema, and their expansion into trials."""
