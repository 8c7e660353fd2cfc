"""What a sweep in the store knows of its data set: the name, which its trials' keys hold, and the folder."""

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from results.store.search_log import read_log
from results.store.search_settings import FINGERPRINT, TRIAL
from results.store.store import Store
from trainable.data.naming import is_built_in
from trainable.data.sizes import NUM_IMAGES
from trainable.errors import UserError
from trainable.wording import say

if TYPE_CHECKING:
    from trainable.data.contract import ImageData


def as_known(store: Store, sweep: str, data: "ImageData") -> "ImageData":
    """Return the data set under the name that the sweep's trials have, if they use the same images.

    So a sweep resumes after its folder was renamed or moved. The name of a built-in data set stays only if the images
    are that data set's.
    """
    known = {name for name, fingerprint in _images(store, sweep) if fingerprint == data.fingerprint}
    names = sorted(name for name in known if name not in NUM_IMAGES or is_built_in(data, name))
    if data.name in known or not names:
        return data
    say(f"note: {sweep} knows the images of {data.name} as {names[0]}, and keeps that name", flush=True)
    return dataclasses.replace(data, name=names[0])


def check_folder_given(store: Store, sweep: str, name: str, folder: Path | None) -> None:
    """Refuse a sweep on images from --data where --data is missing, before other images are downloaded.

    Args:
        name: the name of the data set that is loaded without --data.
        folder: the value of --data.

    Raises:
        UserError: the sweep's images lay in a folder.
    """
    manifest = None if folder is not None else store.find_manifest(sweep)
    if manifest is None:
        return
    others = sorted({known for known, _ in _images(store, sweep)} - {name, *NUM_IMAGES})
    if others or (manifest.data and Path(manifest.data).is_dir()):
        where = f" in {manifest.data}" if manifest.data else ""
        again = shlex.quote(manifest.data) if manifest.data else "and their folder"
        again += f" --label {shlex.quote(manifest.label)}" if manifest.label else ""
        raise UserError(
            f"the sweep {sweep!r} in {store.location()} is on the images of {[*others, name][0]!r}{where}: "
            f"give --data {again}, or give this run another --name"
        )


def _images(store: Store, sweep: str) -> set[tuple[str, str]]:
    """Return data set and fingerprint of the sweep's trials; none if there is no such sweep."""
    manifest = store.find_manifest(sweep)
    if manifest is None or not manifest.is_search:
        return set() if manifest is None else manifest.images
    trial = read_log(store.search_log(sweep), up_to_damage=True).settings.get(TRIAL, {})
    return {(trial["dataset"], trial[FINGERPRINT])} if trial else set()
