"""A kernel for batch normalisation with ReLU and the addition of a block, on CPUs: see fused.cpp.

It is compiled once for each kind of machine, by the user's C++ compiler. Where there is none, torch's own operations
do the same work in more passes over memory. This file also runs as a script: it checks a library.
"""

import atexit
import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import torch
from torch import Tensor, nn
from torch.nn import functional

SOURCE = Path(__file__).with_suffix(".cpp")
OPTIONS = (
    *("-std=c++20", "-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
    *("-fPIC", "-shared", "-fopenmp", "-DAT_PER_OPERATOR_HEADERS"),
)
"""No contraction: the bits of a result must not depend on the compiler or on the processor's instruction set."""
COMPILERS = ("g++", "c++")
"""Names of compilers that are looked for, unless CXX names one."""
BUILD_SECONDS = 60.0
"""Time after which a compiler is stopped; usually it takes 10 to 25 s."""
DIGEST_BYTES = 32
"""A library ends with the SHA-256 of what is before: half a file must not be loaded, that would end the process."""
TOLERANCES = {torch.bfloat16: 0.1, torch.float32: 2e-6}
"""Largest difference from torch for each type that the kernel computes in, as a part of the norm."""
DTYPES = tuple(TOLERANCES)
SCRATCH = ".part"
"""Suffix of a library that is not whole or not checked yet."""
LANES = 16
"""The number of channels is a multiple of it."""
CPU_FIELDS = ("model name", "flags", "Features", "CPU implementer", "CPU part")
"""Lines of /proc/cpuinfo that tell for which processor code is compiled."""


class NoCompilerError(Exception):
    """There is no C++ compiler; the message says which are looked for."""


def norm_relu(norm: nn.Module, x: Tensor, residual: Tensor | None = None) -> Tensor:
    """Return relu(norm(x) + residual), by the fused kernel if it is switched on."""
    if _is_fused(norm, x, residual):
        y: Tensor = _call(norm, x, None, residual)[0]
        return y
    y = norm(x)
    return functional.relu(y if residual is None else y + residual)


def add_norm_relu(norm: nn.Module, x: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return x + residual, and relu(norm(x + residual)), by the fused kernel if it is switched on."""
    if residual is None:
        return x, norm_relu(norm, x)
    if _is_fused(norm, x, residual):
        y, total = _call(norm, x, residual, None)
        return total, y
    total = x + residual
    return total, functional.relu(norm(total))


def _call(norm: nn.Module, x: Tensor, before: Tensor | None, after: Tensor | None) -> list[Tensor]:
    own, buffers = norm._parameters, norm._buffers  # nn.Module finds an attribute in them in a microsecond
    statistics = buffers["running_mean"], buffers["running_var"]
    settings = norm.training, norm.momentum, norm.eps
    results: list[Tensor] = torch.ops.batchscape.norm_relu(
        x, before, after, own["weight"], own["bias"], *statistics, *settings
    )
    return results


def _is_fused(norm: nn.Module, x: Tensor, residual: Tensor | None) -> bool:
    if not getattr(norm, "fused", False) or (torch.is_grad_enabled() and not norm.training):
        return False
    tensors = (x,) if residual is None else (x, residual)
    return x.numel() > x.shape[1] and all(  # torch refuses a single value per channel
        tensor.dtype == x.dtype
        and tensor.dtype in DTYPES
        and tensor.device.type == "cpu"
        and tensor.shape == x.shape
        and tensor.is_contiguous(memory_format=torch.channels_last)
        for tensor in tensors
    )


def switch_on(model: nn.Module, folder: Path) -> bool:
    """Let a built-in model train with the kernel that lies in this folder; return whether it does.

    Nothing is compiled here, so that processes of trials never do it.
    """
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    fits = all(norm.num_features % LANES == 0 and norm.weight.dtype == torch.float32 for norm in norms)
    if not fits or not _load(folder):
        return False
    for norm in norms:
        norm.fused = True  # type: ignore[assignment]  # torch takes it for a tensor
    return True


def build(folder: Path, tell: Callable[[str], None]) -> bool:
    """Compile the kernel into this folder, unless it lies there; return whether it can be used.

    Args:
        tell: is given a line if the kernel is compiled, and one that says why it cannot be used.
    """
    if sys.platform != "linux" or _load(folder):
        return _load(folder)
    try:
        compiler = _compiler()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            _acquire(lock, tell)
            failed = _library(folder).with_suffix(f".{_digest(_output([compiler, '--version']))[:8]}.log")
            if not _load(folder) and not failed.exists():
                tell("compiling the fused CPU kernel, once for this machine (about 15 s) ...")
                _compile(compiler, _library(folder), failed)
        if _load(folder):
            return True
        problem = f"{compiler} cannot compile it; {failed} tells why, remove it to try again"
    except subprocess.TimeoutExpired:
        problem = f"the compiler has not answered for {BUILD_SECONDS:.0f} s"
    except subprocess.CalledProcessError:
        problem = f"{compiler} does not work"
    except OSError as error:
        problem = f"{error.filename}: {error.strerror}"
    except NoCompilerError as error:
        problem = str(error)
    tell(f"note: training without the fused CPU kernel: {problem}")
    return False


def _compiler() -> str:
    """Return the path of a C++ compiler.

    Raises:
        NoCompilerError: there is none.
    """
    chosen = os.environ.get("CXX", "")
    found = next(filter(None, map(shutil.which, [chosen] if chosen else COMPILERS)), None)
    if found is None:
        raise NoCompilerError(f"there is no C++ compiler ({chosen or ' or '.join(COMPILERS)})")
    return found


def _acquire(lock: IO[str], tell: Callable[[str], None]) -> None:
    """Wait until no other process compiles."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tell("waiting for another process, which compiles the fused CPU kernel ...")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _compile(compiler: str, library: Path, failed: Path) -> None:
    """Compile the library and check it in a process of its own; write into `failed` what is wrong with it.

    Raises:
        TimeoutExpired: it took longer than BUILD_SECONDS.
    """
    torch_folder = Path(torch.__file__).parent
    scratch = library.with_suffix(SCRATCH)  # one that a killed process has left is written again
    where = [f"-I{torch_folder / 'include'}", f"-L{torch_folder / 'lib'}", "-ltorch_cpu", "-lc10"]
    try:
        _output([compiler, *OPTIONS, str(SOURCE), "-o", str(scratch), *where])
        _output([sys.executable, "-P", __file__, str(scratch)])
        with scratch.open("r+b") as file:
            file.write(hashlib.sha256(file.read()).digest())
        scratch.replace(library)
    except subprocess.CalledProcessError as error:
        failed.write_text(f"{error}\n{error.stdout}")
    except FileNotFoundError:
        failed.write_text("the compiler has written nothing\n")
    finally:
        scratch.unlink(missing_ok=True)


def _output(command: list[str]) -> str:
    """Return what a program prints. It ends with this process, but Ctrl-C does not make it fail."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    with subprocess.Popen(command, start_new_session=True, **streams) as process:  # type: ignore[call-overload]  # noqa: S603

        def kill() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        atexit.register(kill)  # in a thread, nothing is raised here when the program ends
        try:
            text, _ = process.communicate(timeout=BUILD_SECONDS)
        except BaseException:
            kill()
            raise
        finally:
            atexit.unregister(kill)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, text)
    return str(text)


def _library(folder: Path) -> Path:
    """Return where the library for this source, this torch and this processor lies."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    processor = sorted({line for line in lines if line.startswith(CPU_FIELDS)})
    parts = (SOURCE.read_text(), torch.__version__, platform.machine(), *OPTIONS, *processor)
    return folder / f"norm_relu-{_digest(*parts)[:16]}.so"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _load(folder: Path) -> bool:
    """Load the library, if it lies there undamaged and has not been loaded; return whether it is loaded."""
    if _is_loaded():
        return True
    library = _library(folder)
    try:
        content = library.read_bytes()
        if hashlib.sha256(content[:-DIGEST_BYTES]).digest() != content[-DIGEST_BYTES:]:
            return False
        torch.ops.load_library(library)  # type: ignore[no-untyped-call]
    except (OSError, RuntimeError):
        return False
    return _is_loaded()


def _is_loaded() -> bool:
    return hasattr(torch.ops.batchscape, "norm_relu")


def layer_results(dtype: torch.dtype, *, is_fused: bool, images: Sequence[Tensor] | None = None) -> list[Tensor]:
    """Return all that one layer computes: outputs, gradients and running statistics, and outputs of an evaluation.

    Args:
        images: input, residual and gradient of the output.
    """
    random = torch.Generator().manual_seed(0)
    images = images or [torch.randn(7, 32, 9, 9, generator=random) for _ in range(3)]  # rows no multiple of 4
    x, residual, dy = (part.to(dtype, memory_format=torch.channels_last) for part in images)
    norm = nn.BatchNorm2d(x.shape[1], dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    nn.init.zeros_(norm.weight[:1])  # its outputs are exactly 0, and let no gradient through
    norm.fused = is_fused  # type: ignore[assignment]
    inputs = [norm.weight, norm.bias, x.requires_grad_(), residual.requires_grad_()]
    found: list[Tensor] = []
    for used, compute in ((3, norm_relu), (4, norm_relu), (4, add_norm_relu)):
        added = residual if used == 4 else None
        outputs = _as_list(compute(norm.train(), x, added))
        found += [*outputs, *torch.autograd.grad(outputs, inputs[:used], [dy] * len(outputs))]
        found += [getattr(norm, name) for name in ("running_mean", "running_var")]
        with torch.no_grad():
            found += _as_list(compute(norm.eval(), x, added))
    return [part.detach().clone().double() for part in found]


def _as_list(outputs: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else [*outputs]


def _differences(dtype: torch.dtype) -> list[float]:
    """Return how far all results are from those of torch, as parts of their norms."""
    ours, theirs = (layer_results(dtype, is_fused=is_fused) for is_fused in (True, False))
    return [float((own - other).norm() / other.norm()) for own, other in zip(ours, theirs, strict=True)]


if __name__ == "__main__":
    torch.ops.load_library(sys.argv[1])  # type: ignore[no-untyped-call]
    sys.exit(any(difference > TOLERANCES[dtype] for dtype in DTYPES for difference in _differences(dtype)))
