"""Files of weights as training scripts leave them, read without running anything of them.

Read are what `torch.save` writes, safetensors, both also in shards, and folders of these.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, ClassVar, Self

import torch
from safetensors.torch import load_file

from autodepth.atomic import sha256_of
from autodepth.errors import WeightsError
from autodepth.networks.running.one_thread import one_thread

_IN_FOLDERS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_PACKED = "is packed: unpack it first"
_JAX = "holds arrays of another library, whose layout differs: convert them to a state dict"
_BEGINNINGS = {
    b"version https://git-lfs": "is a pointer of Git LFS, not the file: run `git lfs pull` there",
    b"<": "is a web page, not the file: download it anew",
    b"\x89HDF": "is an HDF5 file, as Keras has them: convert it to a state dict of PyTorch",
    b"\x93NUMPY": _JAX,
    b"GGUF": "is a GGUF file, whose weights are quantised: bring those it was made of",
    b"\x1f\x8b": _PACKED,
    b"BZh": _PACKED,
    b"\xfd7zXZ": _PACKED,
}
_SUFFIXES = {
    ".onnx": "ONNX",
    ".pb": "TensorFlow",
    ".tflite": "TensorFlow Lite",
    ".msgpack": "Flax",
    ".engine": "TensorRT",
    ".mlmodel": "Core ML",
}
_MEMBERS = {  # of a zip archive, by how their names end
    "/constants.pkl": "is a TorchScript program: "
    "torch.save(torch.jit.load(FILE).state_dict(), 'w.pt') keeps its weights",
    "archive_format": "is a program of torch.export: "
    "torch.save(torch.export.load(FILE).state_dict, 'w.pt') keeps its weights",
    ".npy": _JAX,
    ".h5": "is a model of Keras: convert it to a state dict of PyTorch",
}
_PICKLES_BEFORE_STORAGES = 4  # in files of before torch 1.6: magic number, version, system, content


class Unread:
    """Stands for an object in a file: its class is told, nothing of that is imported or run."""

    stands_for: ClassVar[str] = ""
    state: Any = None

    def __new__(cls, *_given: object) -> Self:
        """Make one of whatever the object was made of."""
        return super().__new__(cls)

    def __init__(self, *_given: object) -> None: ...

    def __setstate__(self, state: object) -> None:
        self.state = state

    @property
    def is_module(self) -> bool:
        """Whether it was a network."""
        return isinstance(self.state, dict) and {"_modules", "_parameters"} <= self.state.keys()


def read_checkpoint(path: Path) -> Any:
    """Read a file, or a folder of a library's `save_pretrained`, onto the CPU.

    Objects in it come as `Unread`; everything else is plain values and tensors.

    Raises:
        WeightsError: it is missing, damaged, or of another kind.
    """
    content: dict[str, Any] = {}
    for file in files_of(path):
        if file.suffix != ".json":
            part = _read_file(file)
            if path == file or not isinstance(part, dict):
                return part
            content |= part
    return content


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files that weights consist of: one, or an index and its shards.

    Raises:
        WeightsError: one of them is missing.
    """
    if path.is_dir():
        held = [name for name in _IN_FOLDERS if (path / name).is_file()]
        if not held:
            raise WeightsError(_told_folder(path))
        path = path / held[0]
    if not path.is_file():
        raise WeightsError(f"weights file {path} does not exist")
    if path.suffix != ".json":
        return (path,)
    try:
        shards = sorted(set(json.loads(path.read_text())["weight_map"].values()))
        files = tuple(path.with_name(Path(shard).name) for shard in shards)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{path} must be an index of shards (weight_map: tensor to file) to be weights"
        ) from error
    for file in files:
        if not file.is_file():
            raise WeightsError(f"{path} names {file.name}, which is not beside it")
    return (path, *files)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a weights file; of several, that of their digests in order."""
    digests = [sha256_of(file) for file in files_of(path)]
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )


def _read_file(path: Path) -> Any:
    _refuse_other_kinds(path)
    try:
        if _is_safetensors(path):
            return load_file(path)
        try:
            return _load(path)
        except pickle.UnpicklingError:
            return _load_beside_objects(path)
    except Exception as error:  # on bytes that are rubbish torch lets anything through
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        # What torch does not read it says how to run all the same.
        if isinstance(error, pickle.UnpicklingError) or "protocol" in first_line:
            first_line = (
                "it is no file of torch, or holds objects, which may run code; where it was made, "
                "torch.save({'state_dict': network.state_dict()}, 'w.pt') writes tensors alone"
            )
        raise WeightsError(
            f"{path} cannot be read as plain weights (tensors only, no objects): {first_line}"
        ) from error


def _load(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _load_beside_objects(path: Path) -> Any:
    """Load a file whose objects are replaced, as of argparse beside the tensors."""
    try:
        names = set(_names_of_objects(path))
    except (ValueError, struct.error, zipfile.BadZipFile, NotImplementedError) as error:
        raise pickle.UnpicklingError(str(error)) from error
    pairs: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (type("Unread", (Unread,), {"stands_for": name}), name) for name in names
    ]
    with one_thread, torch.serialization.safe_globals(pairs):
        return _load(path)


def _names_of_objects(path: Path) -> Iterator[str]:
    """Yield the classes and functions a file names; nothing of it is unpickled."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            member = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            with archive.open(member) as file:
                yield from _names_of_one(file)
    else:
        with path.open("rb") as file:
            for _ in range(_PICKLES_BEFORE_STORAGES):
                yield from _names_of_one(file)


def _names_of_one(file: IO[bytes]) -> Iterator[str]:
    for operation, argument, _ in pickletools.genops(file):
        if operation.name == "GLOBAL":
            yield str(argument).replace(" ", ".")


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:] == b"{" or (path.suffix == ".safetensors" and head[:2] != b"PK")


def _refuse_other_kinds(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise WeightsError(f"{path} is empty")
    for beginning, told in _BEGINNINGS.items():
        if head.lstrip().startswith(beginning):
            raise WeightsError(f"{path} {told}")
    if path.suffix in _SUFFIXES:
        raise WeightsError(
            f"{path} is a file of {_SUFFIXES[path.suffix]}: bring the network's PyTorch weights, "
            "as torch.save(network.state_dict(), FILE) or safetensors write them"
        )
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        for ending, told in _MEMBERS.items():
            if any(name.endswith(ending) for name in names):
                raise WeightsError(f"{path} {told}")


def _told_folder(path: Path) -> str:
    held = sorted(file.name for file in islice(path.iterdir(), 1000))
    if any(name.endswith(".distcp") for name in held):
        return (
            f"{path} is a distributed checkpoint, in pieces: "
            f"`python -m torch.distributed.checkpoint.format_utils dcp_to_torch {path} w.pt` "
            "makes one file of it"
        )
    few = ", ".join(held[:3]) or "nothing"
    return (
        f"weights must be a file, or a folder with {' or '.join(_IN_FOLDERS[::2])}, "
        f"but {path} is a folder with {few}{', ...' if len(held) > 3 else ''}"
    )
