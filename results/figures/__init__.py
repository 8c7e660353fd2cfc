"""Figures: for each, a pure function that computes what is drawn and a thin one that draws it."""
