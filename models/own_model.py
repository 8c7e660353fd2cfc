"""Models and losses of the user's own: built from their seed, tried once, and watched for what they raise."""

import contextlib
import inspect
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models.torchvision_import import import_torchvision
from models.user_code import UserCodeError, is_of_user, load, one_line_of

PROBE_IMAGES = 2
TORCH = Path(torch.__file__).parent
OUT_OF_MEMORY = ("DefaultCPUAllocator", "CUDA out of memory")
"""Parts of the messages of torch's allocators."""
KNOWN_LAYERS = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
"""Layers with weights that compute the same from rounded weights as under torch.autocast."""
WEIGHT_OPERATIONS = ("convolution", "native_batch_norm", "addmm", "mm", "t", "detach")
"""Known operations that take weights."""
KNOWN_OPERATIONS = frozenset(
    (
        *("convolution", "native_batch_norm", "relu", "relu_", "leaky_relu", "hardtanh", "add", "add_", "mul"),
        *("mean", "addmm", "mm", "t", "max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d", "cat"),
        *("bernoulli_", "div_", "empty_like", "_local_scalar_dense"),  # dropout; a batch norm's average of all steps
        *("view", "_unsafe_view", "clone", "permute", "transpose", "as_strided_", "detach", "alias", "slice"),
    )
)
"""Operations whose result has the number format of their activations, both with rounded weights and in autocast."""


@dataclass(frozen=True, slots=True)
class Traits:
    """How a model can be trained."""

    memory_format: torch.memory_format = torch.channels_last
    autocast: str | None = None
    """Layer or operation for which mixed precision keeps fp32 weights and uses torch.autocast; None if none needs
    it."""


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call] # untyped in torch
    """Notes the first operation inside that is not known, or takes a tensor that is no weight and no activation."""

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.unknown: str | None = None
        self._weights = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
        self._activations = {id(images): images}

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        result = func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::")
        is_known = name in KNOWN_OPERATIONS or (name == "empty" and not result.numel())  # batch norms use it
        for value in tree_leaves((args, kwargs)):
            if isinstance(value, Tensor) and value.is_floating_point() and id(value) not in self._activations:
                is_known = is_known and id(value) in self._weights and name in WEIGHT_OPERATIONS
        if self.unknown is None and not is_known:
            self.unknown = name
        self._activations |= {id(value): value for value in tree_leaves(result) if isinstance(value, Tensor)}
        return result


@contextlib.contextmanager
def guarded(*references: str) -> Iterator[None]:
    """Turn whatever a user's code raises, of any kind, into one line with the line number in the user's file.

    Raises:
        UserCodeError: something was raised inside.
    """
    try:
        yield
    except UserCodeError:
        raise
    except BaseException as error:
        if not is_of_user(error):
            raise
        lines = [one_line_of(error, reference) for reference in references]
        line = max(lines, key=len)  # the longer one has a line number
        if isinstance(error, MemoryError) or any(part in str(error) for part in OUT_OF_MEMORY):
            line += " (out of memory: use a smaller batch_size or a smaller model)"
        raise UserCodeError(line) from error


@contextlib.contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed the global generators of torch, numpy and Python inside, and put all global settings back afterwards."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    on_gpu = device is not None and device.type == "cuda"
    deterministic = torch.get_deterministic_debug_mode()
    try:
        with (
            torch.random.fork_rng(devices=[device] if on_gpu else []),
            torch.set_grad_enabled(torch.is_grad_enabled()),
        ):
            _seed(seed)
            if on_gpu:
                torch.cuda.manual_seed(seed)
                torch.set_deterministic_debug_mode("warn")  # on a CPU all is deterministic anyway
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        torch.set_default_dtype(dtype)
        if torch.get_deterministic_debug_mode() != deterministic:
            torch.set_deterministic_debug_mode(deterministic)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def _seed(seed: int) -> None:
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def build(
    reference: str,
    fingerprint: str | None,
    arguments: Mapping[str, Any],
    num_classes: int,
    image_size: int | tuple[int, int],
    generator: torch.Generator,
) -> nn.Module:
    """Build a model on the CPU, whose weights are those that its own code draws.

    Raises:
        UserCodeError: the code raises, or what it makes cannot be trained.
    """
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    with guarded(reference):
        with seeded(0):  # whatever the module draws is the same in all processes
            make = _named(reference, fingerprint)
        with seeded(seed):
            model = _make(make, {"num_classes": num_classes, "image_size": image_size}, arguments, seed)
            where = _where(model, make)
            if not isinstance(model, nn.Module):
                raise UserCodeError(f"{where}gives {_kind(model)}, not a torch.nn.Module")
            _make_storable(model, where)
            model.eval()
            with torch.no_grad():
                _try(model, _images(image_size), num_classes, where)  # also gives lazy layers their shapes
            model.train()
        _check_parameters(model, where)
    return model


def traits(model: nn.Module, reference: str, num_classes: int, image_size: int | tuple[int, int]) -> Traits:
    """Try a model of `build` as it will be trained, and return how that can be done.

    Raises:
        UserCodeError: it raises in training mode, or its logits do not depend on its parameters.
    """
    where = _where(model, model)
    with guarded(reference), seeded(0):
        model.train()
        images = _images(image_size)
        watch = _Watch(model, images)
        logits = _try(model, images, num_classes, where, watch)
        if not logits.requires_grad:
            raise UserCodeError(f"{where}the logits do not depend on a parameter that can be trained")
        memory_format = torch.channels_last
        try:
            _try(model, images.to(memory_format=memory_format), num_classes, where)
        except Exception:  # mostly `view`, which needs the usual order of elements
            memory_format = torch.contiguous_format
        if any(parameter.dim() == 5 for parameter in model.parameters()):
            memory_format = torch.contiguous_format
    return Traits(memory_format, _unknown_layer(model) or watch.unknown)


def as_loss(reference: str, fingerprint: str | None, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function (logits, labels) -> loss that a reference names, or the one that its class makes.

    Raises:
        UserCodeError: the code raises; the loss has parameters of its own, which nothing would train. When it is
            called: the loss is no scalar on the device of the logits, or does not depend on them.
    """
    with guarded(reference), seeded(0):
        named = _named(reference, fingerprint)
        loss: Any = named() if inspect.isclass(named) else named
        if isinstance(loss, nn.Module):
            loss.to(device)
            if any(parameter.requires_grad for parameter in loss.parameters()):
                raise UserCodeError(f"{_where(loss, named)}the loss has parameters, which would not be trained")
    where = _where(loss, loss)

    def checked(logits: Tensor, labels: Tensor) -> Tensor:
        value = loss(logits, labels)
        if not isinstance(value, Tensor) or value.dim() or not value.is_floating_point():
            raise UserCodeError(f"{where}the loss must be a scalar (a tensor of shape []), got {_kind(value)}")
        if value.device != logits.device:
            raise UserCodeError(f"{where}the loss is on {value.device}, the logits are on {logits.device}")
        if not value.requires_grad:
            raise UserCodeError(f"{where}the loss does not depend on the logits")
        return value

    return checked


def _named(reference: str, fingerprint: str | None) -> Callable[..., Any]:
    """Return what a reference names, also if it imports a torchvision whose build does not match torch's."""
    try:
        return load(reference, fingerprint)
    except UserCodeError as error:
        if "torchvision::nms" not in str(error):
            raise
        import_torchvision()
        return load(reference, fingerprint)


def _make(make: Callable[..., Any], given: Mapping[str, Any], arguments: Mapping[str, Any], seed: int) -> object:
    """Call a constructor with those of `given` that it takes, and with all of `arguments`.

    What a `**kwargs` hands on to something that refuses it is left out.
    """
    where = _where(make, make)
    if isinstance(make, nn.Module):
        raise UserCodeError(f"{where}this is a model already: name its class, or a function that builds it")
    inherits = getattr(make, "__init__", None) is nn.Module.__init__  # its **kwargs are for subclasses
    parameters = [] if inherits else list(inspect.signature(make).parameters.values())
    names = [
        parameter.name for parameter in parameters if parameter.kind.name in ("POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY")
    ]
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    for name in arguments:
        if name not in names and not takes_all:
            raise UserCodeError(f"{where}there is no argument {name!r}: valid: {', '.join(names) or 'none'}")
    accepted = {name: value for name, value in given.items() if takes_all or name in names}
    while True:
        try:
            return make(**(accepted | dict(arguments)))
        except TypeError as error:
            told = str(error)
            refused = [name for name in accepted if name not in names and f"argument '{name}'" in told]
            if not refused:
                raise
            del accepted[refused[0]]
            _seed(seed)


def attributes(model: nn.Module) -> dict[str, bool | int | float | str]:
    """Return the numbers and texts that the modules keep as attributes, for example counters, by name."""
    return {
        f"{path}.{name}": value
        for path, layer in model.named_modules()
        for name, value in vars(layer).items()
        if name != "training" and type(value) in (bool, int, float, str)
    }


def set_attributes(model: nn.Module, values: Mapping[str, bool | int | float | str]) -> None:
    """Set what `attributes` returned."""
    modules = dict(model.named_modules())
    for name, value in values.items():
        path, _, attribute = name.rpartition(".")
        setattr(modules[path], attribute, value)


def _images(image_size: int | tuple[int, int]) -> Tensor:
    return torch.randn(PROBE_IMAGES, 3, *((image_size, image_size) if isinstance(image_size, int) else image_size))


def _try(
    model: nn.Module,
    images: Tensor,
    num_classes: int,
    where: str,
    watch: contextlib.AbstractContextManager[Any] | None = None,
) -> Tensor:
    """Return the logits of images; the parameters, the buffers and the attributes stay as they were."""
    everything = [*model.parameters(), *model.buffers()]
    tensors = [tensor for tensor in everything if not nn.parameter.is_lazy(tensor)]
    kept = [tensor.detach().clone() for tensor in tensors]
    buffers = [(layer, *named) for layer in model.modules() for named in layer.named_buffers(recurse=False)]
    values = attributes(model) if len(tensors) == len(everything) else {}  # lazy layers set their attributes now
    with watch or contextlib.nullcontext():
        logits: Tensor = model(images.clone() if watch is None else images)
    set_attributes(model, values)
    for layer, name, buffer in buffers:
        if getattr(layer, name) is not buffer:
            setattr(layer, name, buffer)
    with torch.no_grad():
        for tensor, value in zip(tensors, kept, strict=True):
            if not torch.equal(tensor, value):
                tensor.copy_(value)
    expected = [PROBE_IMAGES, num_classes]
    if not isinstance(logits, Tensor) or list(logits.shape) != expected or not logits.is_floating_point():
        raise UserCodeError(
            f"{where}{_kind(logits)} for images {list(images.shape)} and {num_classes} classes: the logits must be a "
            f"tensor of floats of shape {expected}"
        )
    return logits


def _make_storable(model: nn.Module, where: str) -> None:
    """Give each buffer memory of its own for each element, so that a checkpoint can be copied into it."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.device.type != "cpu":
            raise UserCodeError(f"{where}{name} is on {tensor.device}: build the model on the CPU")
    for layer in model.modules():
        for name, buffer in layer.named_buffers(recurse=False):
            if not nn.parameter.is_lazy(buffer) and 0 in buffer.stride():
                setattr(layer, name, buffer.clone(memory_format=torch.contiguous_format))


def _check_parameters(model: nn.Module, where: str) -> None:
    places: dict[int, str] = {}
    for name, parameter in model.named_parameters():
        if nn.parameter.is_lazy(parameter):
            raise UserCodeError(f"{where}parameter {name} has no shape: the forward pass does not use its layer")
        if parameter.dtype != torch.float32:
            raise UserCodeError(f"{where}parameter {name} is {parameter.dtype}: only torch.float32 can be trained")
        other = places.setdefault(parameter.data_ptr(), name) if parameter.numel() else name
        if other != name:
            raise UserCodeError(f"{where}parameters {other} and {name} share memory: make them one nn.Parameter")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserCodeError(f"{where}the model has no parameter that can be trained")


def _unknown_layer(model: nn.Module) -> str | None:
    """Return the layer with weights or buffers that may compute something else from rounded weights."""
    for layer in model.modules():
        tensors = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
        if tensors and type(layer) not in KNOWN_LAYERS:
            return type(layer).__name__
        if not all(parameter.requires_grad for parameter in layer.parameters(recurse=False)):
            return f"frozen {type(layer).__name__}"
    return None


def _where(made: object, make: object) -> str:
    """Return `my_net.py:12: ` for the line at which what the user wrote begins; empty if it is unknown."""
    kind = type(made)
    for written in (getattr(kind, "forward", kind.__call__), getattr(made, "forward", None), made, make):
        code = getattr(written, "__code__", None) or getattr(getattr(written, "__init__", None), "__code__", None)
        if code is not None and not Path(code.co_filename).is_relative_to(TORCH):
            return f"{Path(code.co_filename).name}:{code.co_firstlineno}: "
    return ""


def _kind(value: object) -> str:
    return f"a tensor {list(value.shape)} of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
