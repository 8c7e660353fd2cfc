"""Residual networks for small images. `registry.build_model` builds one; `names` and `costs` do without torch."""
