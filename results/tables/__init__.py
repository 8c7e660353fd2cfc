"""Tables in the form of the published ones."""
