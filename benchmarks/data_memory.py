"""What the data set costs each trial's process: `python benchmarks/data_memory.py`.

A data set of CIFAR-10's size (60,000 images of 32x32x3, 184 MB) goes through Ray's object store into several
processes at once, as in a sweep. Each prepares it for training, reads all of it, and reports by how much its private
memory (proc(5), smaps_rollup) has grown. Memory that is shared is counted once for each node, not here.
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import ray

from benchmarks.harness import option_parser, print_figures, write_report
from benchmarks.images import noise
from search_spaces.resources import ResourceRule
from sweep.driver.cluster import connected
from sweep.request import RunRequest

NUM_PROCESSES = 2


class Reader:
    """Stands for a trial's process."""

    def private_growth_bytes(self, data: list[Any], holdout: float) -> int:
        """Measure how much private memory the data set takes from its arrival until all of it was read."""
        import torch

        from trainable.config import TrainConfig
        from trainable.splits import prepare

        before = _private_bytes()
        prepared = prepare(ray.get(data[0]), TrainConfig(holdout=holdout), torch.device("cpu"))
        checksum = int(prepared.train.images.sum()) + int(prepared.test.images.sum())
        if checksum <= 0:
            raise RuntimeError("the images were not read")
        return _private_bytes() - before


def _private_bytes() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def main() -> None:
    arguments = option_parser(__doc__).parse_args()
    data = noise()
    num_bytes = data.train_images.nbytes + data.test_images.nbytes
    growth: dict[str, list[int]] = {}
    with connected(RunRequest(space="quickstart"), ResourceRule(), [], data):
        reference = ray.put(data)
        for holdout in (0.0, 0.1):
            readers = [ray.remote(Reader).options(num_cpus=0).remote() for _ in range(NUM_PROCESSES)]
            answers = [reader.private_growth_bytes.remote([reference], holdout) for reader in readers]
            growth[f"holdout {holdout:g}"] = ray.get(answers)
    rows = {case: {"MB": [num / 1e6 for num in values]} for case, values in growth.items()}
    print_figures(f"data set {num_bytes / 1e6:.0f} MB, private growth of each process", rows)
    figures = {"data_bytes": num_bytes, "num_processes": NUM_PROCESSES, "private_growth_bytes": growth}
    print(write_report("data_memory", "python benchmarks/data_memory.py", figures, arguments.to))


if __name__ == "__main__":
    main()
