"""The sources of models and losses of the user's own, as the manifests of sweeps keep them."""

import contextlib
from collections.abc import Collection

from models.user_code import UserCode
from results.store.store import Store
from trainable.errors import UserError


def find_sources(store: Store, fingerprints: Collection[str | None]) -> list[UserCode]:
    """Return the sources with these fingerprints that a sweep of the store holds. None of them is executed."""
    found: dict[str, UserCode] = {}
    for sweep in store.sweeps() if any(fingerprints) else ():
        with contextlib.suppress(UserError):  # a damaged manifest: another sweep may hold the source, too
            manifest = store.find_manifest(sweep)
            found |= {code.fingerprint: code for code in (manifest.sources if manifest else ())}
        if {*fingerprints} - {None} <= found.keys():
            break
    return [found[fingerprint] for fingerprint in dict.fromkeys(fingerprints) if fingerprint in found]
