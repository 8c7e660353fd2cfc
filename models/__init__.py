"""CIFAR-form residual networks. `models.names` is free of torch; `models.registry.build_model` builds one."""
