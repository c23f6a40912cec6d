"""Training put down at the end of an epoch, and taken up again to the bit.

A state is tensors (safetensors) and plain values (JSON); reading one executes nothing.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from autodepth.atomic import write_atomically
from autodepth.trial.training.config import Epoch, Stateful
from autodepth.trial.training.early_stopping import EarlyStopping
from autodepth.trial.training.optimizing.mean_weights import MeanWeights

_TENSORS, _VALUES = "state.safetensors", "state.json"


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """All that moves while a network trains, as it is after an epoch.

    Args:
        epochs: what was told of each epoch so far.
        tensors: by `kind/name`, on the CPU.
        values: by kind, fit for JSON.
    """

    epochs: Sequence[Epoch]
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """Write it into a folder.

        Raises:
            OSError: the disk is full.
        """
        write_atomically(folder / _TENSORS, save(dict(self.tensors)))
        told = [epoch.to_dict() for epoch in self.epochs]
        write_atomically(folder / _VALUES, json.dumps({"epochs": told, "values": self.values}))

    @classmethod
    def read(cls, folder: Path) -> TrainingState:
        """Read what `write` wrote.

        Raises:
            OSError: a file cannot be read.
            ValueError, KeyError, TypeError: it is not what was written.
        """
        told = json.loads((folder / _VALUES).read_text())
        try:
            tensors = load_file(folder / _TENSORS)
        except SafetensorError as error:
            raise ValueError(f"{_TENSORS} cannot be read: {error}") from error
        epochs = [Epoch.from_dict(values) for values in told["epochs"]]
        return cls(epochs=epochs, tensors=tensors, values=told["values"])

    def of(self, kind: str) -> dict[str, Tensor]:
        """Return the tensors of one kind by name."""
        start = f"{kind}/"
        return {
            name.removeprefix(start): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(start)
        }


@dataclass(frozen=True, kw_only=True)
class LiveState:
    """Everything that training changes.

    Args:
        module: the network, on its device.
        optimizer: over all of its parameters.
        schedule: of the learning rate.
        means: of the weights over steps, where they are kept.
        best: the weights that patience keeps.
        generators: CPU generators that are drawn from, by name.
        memory: what the course learns while it goes.
    """

    module: nn.Module
    optimizer: Optimizer
    schedule: LRScheduler
    means: MeanWeights
    best: EarlyStopping
    generators: Mapping[str, torch.Generator]
    memory: Stateful | None

    def state(self, epochs: Sequence[Epoch]) -> TrainingState:
        """Return a copy of it all."""
        weights, best = self.best.state_dict()
        kinds: dict[str, Mapping[str, Tensor]] = {
            "network": _tensors(self.module),
            "optimizer": dict(self._optimizer_tensors()),
            "means": self.means.state_dict(),
            "best": weights,
            "generator": {name: g.get_state() for name, g in self.generators.items()},
            "layers": _layer_generators(_device(self.module)),
        }
        groups = [
            {name: value for name, value in group.items() if name != "params"}
            for group in self.optimizer.param_groups
        ]
        return TrainingState(
            epochs=tuple(epochs),
            tensors={
                f"{kind}/{name}": _copy(tensor)
                for kind, tensors in kinds.items()
                for name, tensor in tensors.items()
            },
            values={
                "groups": groups,
                "schedule": self.schedule.state_dict(),
                "mean_of": self.means.steps,
                "best": best,
                "memory": None if self.memory is None else self.memory.state_dict(),
            },
        )

    @torch.no_grad()
    def load_state(self, state: TrainingState) -> None:
        """Be as when `state` was taken from the same network, optimizer and course."""
        weights = state.of("network")
        for name, tensor in _tensors(self.module).items():
            tensor.copy_(weights[name])
        parameters = dict(self.module.named_parameters())
        for name, tensor in state.of("optimizer").items():
            parameter, _, slot = name.rpartition("/")
            like = parameters[parameter]
            # Another memory layout may round otherwise, so it is that of the parameter. AdamW
            # counts steps on the CPU.
            value = tensor if slot == "step" else torch.empty_like(like)
            self.optimizer.state[like][slot] = value.copy_(tensor)
        for group, values in zip(self.optimizer.param_groups, state.values["groups"], strict=True):
            group.update(values)
        self.schedule.load_state_dict(dict(state.values["schedule"]))
        self.means.load_state_dict(state.of("means"), state.values["mean_of"])
        device = _device(self.module)
        best = {name: tensor.to(device) for name, tensor in state.of("best").items()}
        self.best.load_state_dict(best, state.values["best"])
        for name, generator in self.generators.items():
            generator.set_state(state.of("generator")[name])
        _set_layer_generators(device, state.of("layers"))
        if self.memory is not None:
            self.memory.load_state_dict(state.values["memory"])

    def _optimizer_tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self.module.named_parameters():
            for slot, value in self.optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    yield f"{name}/{slot}", value


@contextlib.contextmanager
def layers_draw_from(seed: int, device: torch.device) -> Iterator[None]:
    """Seed what layers draw from by themselves (dropout), and leave it as it was afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _layer_generators(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    return states | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else states


def _set_layer_generators(device: torch.device, states: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers, those too that a state dict leaves out."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device
