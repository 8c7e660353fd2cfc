"""Tables with the columns and layout of the published tables."""
