"""Declarative search spaces: the YAML files that ship, their schema, and their expansion into trials.

Every UserError about a space names file, line and key.
"""
