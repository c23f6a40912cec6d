"""The model card of a bundle: README.md in the sections of Hugging Face's template."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from autodepth.export.bundles.architecture import Architecture
from autodepth.export.bundles.bundle import ONNX, PREDICT
from autodepth.export.formats.int8 import Quantised
from autodepth.export.verification import Check
from autodepth.space.objectives import MEMORY, place_of
from autodepth.tasks.own_task import TaskSpec
from autodepth.tasks.shipped.catalogue import SHIPPED_TASKS
from autodepth.trial.result import OperatingPoint
from autodepth.units import format_bytes, format_macs

_SHOWN_CLASSES = 20
_FRONT_MATTER = """---
pipeline_tag: image-classification
library_name: onnx
tags:
- image-classification
- onnx
- safetensors
- pruning
- stochastic-depth
- autodepth
---"""

_CONVENTION = (
    "MACs are multiply-accumulates of convolutions and matrix products per image, counted by "
    "`torch.utils.flop_counter` (which counts 2 per MAC) on the network as it is after removal. "
    "FLOPs = 2 x MACs. Biases, normalisation, activations and pooling count as 0."
)


def model_card(
    name: str,
    folder: Path,
    architecture: Architecture,
    *,
    policy: Mapping[str, Any],
    record: Mapping[str, Any],
    checks: Sequence[Check],
    quantised: Quantised | None = None,
) -> str:
    """Return the text of the card, Markdown.

    Args:
        name: what the bundle is called.
        folder: where its files are.
        architecture: how the network is built.
        policy: what was done to get it.
        record: the content of `record.json`.
        checks: what was verified.
        quantised: what became of it in eight-bit integers, if it was asked for.
    """
    sections = {
        "Model Details": _details(architecture, record),
        "Uses": _uses(architecture),
        "How to Get Started with the Model": _start(folder),
        "Training Details": _training(policy, record),
        "Evaluation": _evaluation(architecture, record),
        "Bias, Risks, and Limitations": _limits(architecture, record),
        "Technical Specifications": _files(folder, checks) + _int8(quantised),
    }
    parts = [
        _front_matter(architecture.learns),
        f"# Model Card for {name}",
        _summary(architecture, record),
    ]
    for heading, content in sections.items():
        parts += [f"## {heading}", content]
    return "\n\n".join(parts) + "\n"


def _front_matter(learns: TaskSpec) -> str:
    if not learns.is_own:
        kind = "image-classification"
        known = SHIPPED_TASKS.get(learns.name)
        return _FRONT_MATTER.replace(kind, known.pipeline if known else kind)
    lines = _FRONT_MATTER.splitlines()
    return "\n".join(line for line in lines if "image-classification" not in line)


def _summary(architecture: Architecture, record: Mapping[str, Any]) -> str:
    point, unpruned = record["point"], record["unpruned"]
    learns = architecture.learns
    purpose = f"{len(architecture.classes)} classes" if learns.is_classification else learns.name
    return (
        f"{architecture.network.name} for {purpose}, made shallower by "
        f"autodepth: {_count(len(architecture.removed), 'residual branch', 'residual branches')} "
        f"removed, {format_macs(point['macs'])} of {format_macs(unpruned['macs'])} MACs left "
        f"({point['macs'] / unpruned['macs']:.0%}), {_leading(record)} on the validation split."
    )


def _details(architecture: Architecture, record: Mapping[str, Any]) -> str:
    network = architecture.network
    removed = ", ".join(map(str, architecture.removed)) or "none"
    narrower = f"{len(architecture.widths)} tensors" if architecture.widths else "none"
    origin = ", ".join(f"{key} {record[key]}" for key in ("study", "trial") if key in record)
    return _list(
        {
            "Model type": f"residual network for {_purpose(architecture)}, {network.name}",
            "Branches removed": removed,
            "Made narrower": narrower,
            "Trained": _trained(record.get("origins", ["parent"])),
            **_reached(record),
            "Parameters": f"{record['point']['parameters']:,}",
            "Comes from": origin or "one policy, no search",
            "Chosen as": record.get("selected", "the policy given"),
            "Made by": f"autodepth {record['autodepth']}",
        }
    )


def _leading(record: Mapping[str, Any]) -> str:
    point = OperatingPoint.from_dict(record["point"])
    return f"{point.shown()} {point.column}"


def _purpose(architecture: Architecture) -> str:
    learns = architecture.learns
    if learns.is_own:
        return f"the task {learns.name}"
    return "image classification" if learns.is_classification else learns.name


def _trained(origins: Sequence[str]) -> str:
    """Return the steps from the first network that was trained to this one."""
    words = {
        "parent": "as a whole, then pruned",
        "scratch": "small, from scratch",
        "member": "then changed and trained on",
    }
    return "; ".join(words[origin] for origin in origins)


def _reached(record: Mapping[str, Any]) -> dict[str, str]:
    """Return how far sparsity reached; nothing where there was none, or no record of it."""
    told = {}
    for name, (reached, whole) in record.get("reached", {}).items():
        what = "weight tensors" if name == "weight_sparsity" else "branches"
        told[f"Reached by {name}"] = f"{reached} of {whole} {what}"
    return told


def _uses(architecture: Architecture) -> str:
    network, names = architecture.network, architecture.classes
    shape = f"[batch, {', '.join(map(str, network.input_shape))}]"
    if architecture.learns.is_own:
        return (
            f"Input `images`: float32 {shape}, any batch size, as the task "
            f"{architecture.learns.name} gives it. "
            "Output `scores`: what that task takes.\n\n"
            "It is meant for inputs like those it was trained on. Nothing is known of others."
        )
    constants = architecture.normalisation
    given = (
        f"Input `images`: float32 {shape}, "
        "any batch size, normalised as `(pixel / 255 - mean) / std` with mean "
        f"{_numbers(constants.mean)} and std {_numbers(constants.std)} per channel, pixels 0-255. "
    )
    meant = "It is meant for images like those it was trained on. Nothing is known of others."
    if not architecture.learns.is_classification:
        told = f" They stand for: {_plain(', '.join(names[:_SHOWN_CLASSES]))}." if names else ""
        return f"{given}{SHIPPED_TASKS[architecture.learns.name].gives}{told}\n\n{meant}"
    shown = ", ".join(names[:_SHOWN_CLASSES])
    more = f" and {len(names) - _SHOWN_CLASSES} more" if len(names) > _SHOWN_CLASSES else ""
    return (
        f"{given}Output `scores`: float32 [batch, {len(names)}], before softmax.\n\n"
        f"Classes, in the order of the scores: {_plain(shown)}{more} (`architecture.json`).\n\n"
        f"{meant}"
    )


def _start(folder: Path) -> str:
    onnx = "`pip install onnxruntime numpy`, then `python predict.py IMAGE`.\n\n"
    code = (
        "```python\nfrom autodepth import load\n\n"
        'network = load(".")  # a torch.nn.Module; every file is checked by its SHA-256\n```'
    )
    return (onnx if (folder / PREDICT).exists() and (folder / ONNX).exists() else "") + code


def _training(policy: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    data = {key: value for key, value in record["data"].items() if value is not None}
    return (
        f"### Training Data\n\n{_table(('setting', 'value'), data.items())}\n\n"
        f"SHA-256 of images and split: `{record['data_fingerprint']}`. Training, validation and "
        "test images are disjoint and fixed by seed.\n\n"
        f"### Training Procedure\n\nThe policy, as in `policy.yaml`:\n\n"
        f"{_table(('setting', 'value'), _flat(policy))}\n\n"
        f"### Seeds\n\n{_seeds(record)}"
    )


def _seeds(record: Mapping[str, Any]) -> str:
    accuracies = record.get("confirmed", [])
    text = f"Every draw comes from seed {record['seed']}."
    if not accuracies:
        return f"{text} The policy was carried out once; it was not confirmed on fresh seeds."
    point = OperatingPoint.from_dict(record["point"])
    if point.metrics:
        sd = f" ± {stdev(accuracies):.2g}" if len(accuracies) > 1 else ""
        return (
            f"{text} The same policy on {_count(len(accuracies), 'fresh seed')}: "
            f"{fmean(accuracies):.4g}{sd} {point.unit} {point.metric} (mean ± standard deviation)."
        )
    sd = f" ± {100 * stdev(accuracies):.1f}" if len(accuracies) > 1 else ""
    return (
        f"{text} The same policy on {_count(len(accuracies), 'fresh seed')}: "
        f"{100 * fmean(accuracies):.1f}{sd} % validation accuracy (mean ± standard deviation)."
    )


def _evaluation(architecture: Architecture, record: Mapping[str, Any]) -> str:
    point, whole = record["point"], record["unpruned"]
    parent, branches = record.get("parent_accuracy"), len(architecture.removed)
    measured = OperatingPoint.from_dict(point)
    rows = [
        (
            measured.metric_in_words,
            "not recorded" if parent is None else measured.shown(parent, 2),
            measured.shown(digits=2),
        ),
        *((n, "", f"{v:.4g}") for n, v in measured.metrics.items() if n != measured.metric),
        ("MACs per image", f"{whole['macs']:,.0f}", f"{point['macs']:,}"),
        ("parameters", f"{whole['parameters']:,.0f}", f"{point['parameters']:,}"),
        ("weights file", format_bytes(whole["size_bytes"]), format_bytes(point["size_bytes"])),
        ("branches removed", "0", str(branches)),
    ]
    return (
        "### Results\n\nThe parent is the network of the same training before anything was "
        f"removed.\n\n{_table(('', 'unpruned parent', 'this network'), rows)}\n\n"
        f"Latency: {point['latency_ms']:.3f} ms for one image in PyTorch, {_hardware(record)}, "
        f"{_circumstances(record)} `autodepth bench . --against parent` measures both on "
        "the device at hand.\n\n"
        f"{_elsewhere(point, record.get('predicted', {}))}"
        f"{_CONVENTION}\n\n"
        "### Testing Data\n\nAccuracies above are of the validation split, by which the network "
        "was chosen: they are biased upward. `autodepth evaluate` opens the test split and writes "
        "what it says, and how often it was opened, to `test_openings.json`."
    )


def _elsewhere(point: Mapping[str, Any], predicted: Mapping[str, float]) -> str:
    """Return what is known of latencies at other places and of peak memory; or nothing."""
    rows = [
        (place, f"{point[metric]:.3f} ms", f"{told:.3f} ms" if told else "")
        for metric in point
        if (place := place_of(metric)) is not None
        for told in [predicted.get(metric)]
    ]
    table = f"{_table(('latency at', 'measured', 'predicted before training'), rows)}\n\n"
    memory = [
        f"Activations take {point[metric]:.2f} MB at most, "
        f"{_count(int(metric.partition('@')[2] or 1), 'image')} at a time, parameters not counted."
        for metric in point
        if metric.startswith(MEMORY)
    ]
    return (table if rows else "") + "".join(f"{line}\n\n" for line in memory)


def _circumstances(record: Mapping[str, Any]) -> str:
    """Say what the latency was measured beside, and what was predicted, where something was."""
    predicted = record.get("predicted_latency_ms")
    if predicted is None:
        return "beside other work of the search."
    return (
        "by turns with the unpruned network; a table of its branches predicted "
        f"{predicted:.3f} ms before training."
    )


def _hardware(record: Mapping[str, Any]) -> str:
    hardware, threads = record.get("hardware"), record.get("threads")
    if hardware is None or threads is None:
        return "hardware not recorded"
    return f"{hardware}, {_count(threads, 'CPU thread')}"


def _limits(architecture: Architecture, record: Mapping[str, Any]) -> str:
    point, network = record["point"], architecture.network
    size = "x".join(map(str, network.input_shape[1:]))
    what = (
        f"Images must be brought to {size} pixels" if network.height else f"Inputs are {size} long"
    )
    lines = [
        f"{what}; no other size was tried.",
        "Accuracy was measured on images from the same source as the training images. How it "
        "holds on others, and on each class or group alone, was not measured.",
        "Fewer MACs are not always less time: see the latency on the device in question.",
    ]
    if network.free:
        lines.append(f"Counted as 0 MACs, as said: {', '.join(network.free)}.")
    if point["effective_macs"] < point["macs"]:
        lines.append(
            f"Single weights are zero: {point['effective_macs']:,} MACs have a weight that is not "
            "zero, but dense kernels, onnxruntime's among them, compute all."
        )
    return "\n".join(f"- {line}" for line in lines)


def _files(folder: Path, checks: Sequence[Check]) -> str:
    rows = [
        (
            f"`{check.file}`",
            format_bytes((folder / check.file).stat().st_size),
            f"{check.worst:.1e}",
            f"{check.tolerance:g}",
        )
        for check in checks
    ]
    return (
        f"{_table(('file', 'size', 'largest difference', 'allowed'), rows)}\n\n"
        "Each file was loaded again and compared with the searched network; the difference is a "
        "share of the largest score. `verification.json` tells how, `checksums.json` has the "
        "SHA-256 of every file. `model.pt2` is read with pickle by `torch.export.load`: open it "
        "only if this folder comes from someone you trust."
    )


def _int8(quantised: Quantised | None) -> str:
    if quantised is None:
        return ""
    return (
        f"\n\n`{quantised.file}` computes in eight-bit integers, with ranges from "
        f"{quantised.calibration_images} training images. It is another network: "
        f"{quantised.validation_accuracy:.2%} accuracy on the {quantised.validation_images:,} "
        f"validation images, where `model.onnx` has {quantised.float_accuracy:.2%}."
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", value


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_plain(str(cell)) for cell in line) + " |" for line in lines)


def _list(items: Mapping[str, Any]) -> str:
    return "\n".join(f"- **{key}:** {_plain(str(value))}" for key, value in items.items())


def _plain(text: str) -> str:
    """Return text that Markdown and HTML leave as it is inside a table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
