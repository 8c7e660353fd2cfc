"""Which Parquet files belong to a split, and whether they are all there and belong together."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainable.errors import UserError
from trainable.ledger.files import open_to_read
from trainable.wording import listed

MAX_NAMED = 3
"""Number of files that an error names; the others are counted."""
SHARD = re.compile(r"\w+?-(\d+)-of-(\d+)(-[0-9a-f]{16})?\.parquet")
"""Name of a file that says which part of how many it is; older versions of `datasets` add a hash."""


def split_files(folder: Path, split: str) -> list[Path]:
    """Return the Parquet files of a split in order."""
    return sorted(folder.rglob(f"{split}-*.parquet"))


def check_shards(folder: Path, files: Mapping[str, Sequence[Path]]) -> None:
    """Check that the files of the splits are complete and of one data set, as far as their names tell.

    Raises:
        UserError: a file cannot be read; files lie in several folders, are of different numberings, or are missing.
    """
    for path in (path for paths in files.values() for path in paths):
        try:
            open_to_read(path).close()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from None
    for split, paths in files.items():
        _check_one_folder(folder, f"the {split} files", [path.parent for path in paths])
        _check_complete(split, paths)
    parents = [path.parent.relative_to(folder) for paths in files.values() for path in paths]
    homes = [folder.joinpath(*(part for part in parent.parts if part not in files)) for parent in parents]
    _check_one_folder(folder, "train and test files", homes)


def _check_one_folder(folder: Path, what: str, parents: Sequence[Path]) -> None:
    found = sorted({str(parent.relative_to(folder)) for parent in parents})
    if len(found) > 1:
        raise UserError(
            f"{folder}: {what} lie in several folders ({listed(found, MAX_NAMED)}), which may be different "
            "configurations of a data set: point --data at one of them"
        )


def _check_complete(split: str, paths: Sequence[Path]) -> None:
    """Check that files called `-NNNNN-of-NNNNN` are all there, once each, with no others beside them."""
    numbered = {path: match for path in paths if (match := SHARD.fullmatch(path.name))}
    if not numbered:
        return
    folder = paths[0].parent
    if others := [path.name for path in paths if path not in numbered]:
        raise UserError(
            f"{folder}: {listed(others, MAX_NAMED)} lies beside {next(iter(numbered)).name}, which is one of "
            f"{int(next(iter(numbered.values()))[2])}: remove the files that do not belong to the data set"
        )
    totals = {int(match[2]): path.name for path, match in numbered.items()}
    if len(totals) > 1:
        raise UserError(
            f"{folder}: the {split} files are of different numberings ({listed(list(totals.values()), MAX_NAMED)}): "
            "remove those of an older version"
        )
    (total,) = totals
    indices = [int(match[1]) for match in numbered.values()]
    if twice := [path.name for path, index in zip(numbered, indices, strict=True) if indices.count(index) > 1]:
        raise UserError(f"{folder}: {listed(twice, MAX_NAMED)} are the same part of {split}: remove all but one")
    if missing := [f"{split}-{index:05d}-of-{total:05d}.parquet" for index in range(total) if index not in indices]:
        are = "is" if len(missing) == 1 else "are"
        raise UserError(
            f"{folder}: {len(missing)} of the {total} {split} files {are} missing ({listed(missing, MAX_NAMED)}): "
            "fetch the data set again"
        )
    if beyond := [path.name for path, index in zip(numbered, indices, strict=True) if index >= total]:
        raise UserError(f"{folder}: {listed(beyond, MAX_NAMED)}: the numbers go from 0 to {total - 1}")
