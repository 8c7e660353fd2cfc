"""Batchscape: map how learning rate, batch size, schedule and training length decide the error of a classifier.

`python tune_main.py COMMAND` is the same as `batchscape COMMAND` after `pip install .`; in a notebook or a job,
`tune_main.main(["run", "quickstart"])` runs a command in this process.
"""

import sys

from cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
