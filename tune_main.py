"""Batchscape: map how learning rate, batch size, schedule and training length decide the error of a classifier.

`python tune_main.py COMMAND` is the same as `batchscape COMMAND` after `pip install .`;
`tune_main.main(["run", "quickstart"])` runs a command in this process and returns its exit code. From a notebook or a
program of yours, `from batchscape import load, run` is better.
"""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PACKAGES = ("cli", "sweep", "results", "search_spaces", "trainable", "models")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code, as `cli.main.main` does, unless a package of ours is hidden."""
    if str(FOLDER) not in sys.path:  # PYTHONSAFEPATH keeps it out
        sys.path.insert(0, str(FOLDER))
    for name in PACKAGES:
        found = find_spec(name)
        origin = Path(found.origin).resolve() if found and found.origin else None
        if origin != FOLDER / name / "__init__.py":
            print(
                f"batchscape: {origin} stands before Batchscape's own package {name!r} in {FOLDER}: run the command "
                "from another folder, or use `from batchscape import load, run`",
                file=sys.stderr,
            )
            return 2
    from cli.main import main as run

    return int(run(argv))


if __name__ == "__main__":
    sys.exit(main())
