"""Writing a bundle: every format, each compared with the searched network, under a draft's name.

The folder gets its own name last. A check that fails leaves nothing behind, unless what was trained
for it would be lost.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from autodepth.data.load import ImageData
from autodepth.errors import BundleError, InputError, did_you_mean
from autodepth.export.bundles import bundle as files
from autodepth.export.bundles.architecture import Architecture
from autodepth.export.bundles.seal import to_json
from autodepth.export.formats.int8 import quantise
from autodepth.export.model_card import model_card
from autodepth.export.verification import (
    Check,
    Reference,
    check_executorch,
    check_onnx,
    check_program,
    told,
)
from autodepth.long_work import each, long_work
from autodepth.space.file.yaml_text import write_yaml
from autodepth.space.sections.task_section import CLASSIFICATION
from autodepth.trial.device.runtimes.formats.executorch_file import (
    check_installed,
    write_executorch,
)
from autodepth.trial.device.runtimes.formats.onnx_file import write_onnx
from autodepth.trial.device.runtimes.formats.torch_program import make_program, write_program
from autodepth.trial.device.threads import only_threads_that_pay
from autodepth.version import __version__

Format = Literal["torch", "onnx", "int8", "executorch"]
KNOWN_FORMATS: tuple[Format, ...] = get_args(Format)
FORMATS: tuple[Format, ...] = ("torch", "onnx")
"""What a bundle holds besides weights and architecture, if nothing else is asked for."""

Tell: TypeAlias = Callable[[str], None]
"""Told of every file that was verified, in a line each."""

Write: TypeAlias = Callable[[Path], None]
CheckFile: TypeAlias = Callable[[Path, Reference], Check]

PREDICTED = (CLASSIFICATION, "embedding", "segmentation", "regression")
"""Tasks whose outputs `predict.py` can tell of; boxes are decoded by the detector's own code."""
_PREDICT = Path(__file__).parent / "formats" / files.PREDICT


def read_formats(text: str) -> tuple[Format, ...]:
    """Read formats as people write them, by commas, or `none`.

    Raises:
        InputError: one is unknown or lacks its package, or int8 stands without onnx.
    """
    names = [] if text.strip() == "none" else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in KNOWN_FORMATS:
            raise InputError(
                f"formats must be {', '.join(KNOWN_FORMATS)}, joined by commas, or none, "
                f"but got {name!r}" + did_you_mean(name, (*KNOWN_FORMATS, "none"))
            )
    if "int8" in names and "onnx" not in names:
        raise InputError(f"int8 is made from onnx, so formats must have both, but got {text!r}")
    if "executorch" in names:
        check_installed()
    return tuple(name for name in KNOWN_FORMATS if name in names)


def refuse_existing(to: Path) -> None:
    """Refuse to write over anything.

    Raises:
        InputError: `to` exists.
    """
    if to.exists():
        raise InputError(f"the folder to export to must not exist, but {to} does")


def write_bundle(  # noqa: PLR0913 - what a bundle is made of
    to: Path,
    *,
    weights: Path,
    architecture: Architecture,
    policy: Mapping[str, Any],
    record: Mapping[str, Any],
    formats: Sequence[Format] = FORMATS,
    data: ImageData | None = None,
    images: bytes | None = None,
    whole: bool = True,
    tell: Tell = lambda _: None,
) -> None:
    """Write a bundle, load every format again, compare it, and only then give it its name.

    Args:
        to: the folder to write; must not exist.
        weights: weights of the searched network.
        architecture: how it is built.
        policy: what was done to get it.
        record: where it came from and what was measured.
        formats: what to write besides weights and architecture.
        data: what the network was searched on; needed for int8 alone.
        images: which images these are, see `ContentRecord`; None of a set that cannot change.
        whole: whether a format that fails leaves no folder; else all but that is there, and the
            error names it.
        tell: told of every file that was verified.

    Raises:
        InputError: `to` exists.
        BundleError: a format cannot be written, or is not the network that was searched.
    """
    refuse_existing(to)
    to.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.parent))
    try:
        shutil.copyfile(weights, draft / files.WEIGHTS)
        if architecture.learns.name in PREDICTED:
            shutil.copyfile(_PREDICT, draft / files.PREDICT)
        record = {"autodepth": __version__, **record}
        checks, failed = list[Check](), list[BundleError]()
        start = time.monotonic()
        with only_threads_that_pay():
            written = _written_and_checked(draft, architecture, weights, formats, whole=whole)
            for outcome in each(written, f"exporting {to.name}", 1 + len(formats)):
                if isinstance(outcome, Check):
                    tell(f"{outcome}, {time.monotonic() - start:.0f} s")
                    checks.append(outcome)
                else:
                    failed.append(outcome)
                start = time.monotonic()
        quantised = None
        if data is not None and "int8" in formats and (draft / files.ONNX).exists():
            with long_work(f"writing and measuring {files.INT8}"):
                quantised = quantise(draft / files.ONNX, draft / files.INT8, architecture, data)
            tell(f"{quantised}, {time.monotonic() - start:.0f} s")
        for name, text in (
            (files.ARCHITECTURE, architecture.to_json()),
            (files.POLICY, write_yaml(policy)),
            (files.RECORD, to_json(record)),
            (files.VERIFICATION, to_json(told(checks, quantised))),
        ):
            (draft / name).write_text(text, encoding="utf-8")
        if images is not None:
            (draft / files.IMAGES).write_bytes(images)
        card = model_card(
            to.name,
            draft,
            architecture,
            policy=policy,
            record=record,
            checks=checks,
            quantised=quantised,
        )
        (draft / files.CARD).write_text(card, encoding="utf-8")
        files.write_checksums(draft)
        files.check(draft)
        draft.chmod(0o755)  # mkdtemp's 0700 is not what a folder to hand over has
        draft.rename(to)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    if failed:
        raise BundleError(f"{to} has all that was verified, but {'; '.join(map(str, failed))}")


def _written_and_checked(
    draft: Path,
    architecture: Architecture,
    weights: Path,
    formats: Sequence[Format],
    *,
    whole: bool,
) -> Iterator[Check | BundleError]:
    """Write every format into a draft and compare it with the searched network.

    A format that fails ends it, or is told where the draft need not be whole.
    """
    shape = architecture.network.input_shape
    searched = files.rebuild(architecture, weights)
    reference = Reference(searched, shape, architecture.macs, architecture.network.free)
    loaded = files.rebuild(architecture, draft / files.WEIGHTS)
    yield reference.check(files.WEIGHTS, loaded, macs=architecture.macs)
    if not formats:
        return
    try:
        with long_work("tracing the network"):
            program = make_program(searched, shape)
    except BundleError as error:
        if whole:
            raise
        yield error
        return
    steps: dict[Format, tuple[str, Write, CheckFile]] = {
        "torch": (files.PROGRAM, lambda path: write_program(program, path), check_program),
        "onnx": (files.ONNX, lambda path: write_onnx(program, path), check_onnx),
        "executorch": (
            files.EXECUTORCH,
            lambda path: write_executorch(searched, shape, path),
            check_executorch,
        ),
    }
    for name, write, check in (step for kind, step in steps.items() if kind in formats):
        try:
            with long_work(f"writing {name}"):
                write(draft / name)
            outcome: Check | BundleError = check(draft / name, reference)
        except BundleError as error:
            if whole:
                raise
            for left in draft.glob(f"{name}*"):  # large weights lie beside it
                left.unlink()
            outcome = error
        yield outcome
