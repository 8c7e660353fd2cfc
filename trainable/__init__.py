"""The training of one configuration.

Only `tune_adapter` imports Ray. The modules config, records and provenance and the package ledger do without torch.
"""
