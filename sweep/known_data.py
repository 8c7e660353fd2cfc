"""What a sweep in the store knows of its data set: the name, which its trials' keys hold, and the folder."""

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from results.store.manifest import Manifest
from results.store.search_log import read_log
from results.store.search_settings import FINGERPRINT, TRIAL
from results.store.store import Store
from trainable.data.naming import is_built_in
from trainable.data.sizes import NUM_IMAGES
from trainable.errors import UserError
from trainable.wording import say

if TYPE_CHECKING:
    from trainable.data.contract import ImageData

OR_ANOTHER = "or give this run another --name"


def as_known(
    store: Store, sweep: str, data: "ImageData", folder: Path | None = None, label: str | None = None
) -> "ImageData":
    """Return the data set under the name that the sweep's trials have, if they use the same images.

    So a sweep resumes after its folder was renamed or moved. The name of a built-in data set stays only if the images
    are that data set's.

    Args:
        folder, label: the values of --data and --label.

    Raises:
        UserError: the sweep is on other images or labels than those in the folder, or than the data set of this name
            had.
    """
    manifest = store.find_manifest(sweep)
    images = _images(store, manifest)
    known = {name for name, fingerprint in images if fingerprint == data.fingerprint}
    if manifest is not None and images and not known and (folder or data.name in dict(images)):
        raise _other_images(manifest, images, data, folder, label)
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
    others = sorted({known for known, _ in _images(store, manifest)} - {name, *NUM_IMAGES})
    is_there = bool(manifest.data) and Path(manifest.data).is_dir()
    if others or is_there:
        gone = f", which are no longer in {manifest.data}" if manifest.data else ""
        where = f" in {manifest.data}" if is_there else gone
        raise UserError(
            f"the sweep {sweep!r} in {store.location()} is on the images of {[*others, name][0]!r}"
            f"{where}: {_again(manifest)}, {OR_ANOTHER}"
        )


def _again(manifest: Manifest) -> str:
    """Say with which options the sweep gets its images again."""
    folder = shlex.quote(manifest.data) if manifest.data and Path(manifest.data).is_dir() else "and their folder"
    return f"give --data {folder}" + (f" --label {shlex.quote(manifest.label)}" if manifest.label else "")


def _other_images(
    manifest: Manifest, images: set[tuple[str, str]], data: "ImageData", folder: Path | None, label: str | None
) -> UserError:
    """Return the refusal of images or labels that are not the sweep's.

    Args:
        images: data set and fingerprint of the sweep's trials.
    """
    (name, fingerprint), *_ = sorted(images)
    sweep = f"the sweep {manifest.name!r}"
    is_same = data.name in dict(images)
    if folder is not None and manifest.data and Path(manifest.data).is_dir():
        is_same = folder.samefile(manifest.data)
    if is_same and manifest.label != (label or ""):
        used = f"used --label {manifest.label}: add it" if manifest.label else "used no --label: leave it out"
        return UserError(f"{sweep} {used}, {OR_ANOTHER}")
    what = f"the images or labels in {folder or data.name}"
    if is_same:
        changed = f"(fingerprint {fingerprint}, now {data.fingerprint}): restore them"
        return UserError(f"{what} are no longer those of {sweep} {changed}, {OR_ANOTHER}")
    remedy = "leave --data out" if name in NUM_IMAGES and not manifest.data else _again(manifest)
    return UserError(
        f"{what} are not those of {sweep}, which is on {name!r} (fingerprint {fingerprint}, these have "
        f"{data.fingerprint}): {remedy}, {OR_ANOTHER}"
    )


def _images(store: Store, manifest: Manifest | None) -> set[tuple[str, str]]:
    """Return data set and fingerprint of the sweep's trials; none if there is no such sweep."""
    if manifest is None or not manifest.is_search:
        return set() if manifest is None else manifest.images
    trial = read_log(store.search_log(manifest.name), up_to_damage=True).settings.get(TRIAL, {})
    return {(trial["dataset"], trial[FINGERPRINT])} if trial else set()
