"""Stochastic depth that really skips: what is dropped is not computed and leaves no gradient.

With gates b_1..b_L in {0, 1} a block computes ``H_l = shortcut(H_{l-1}) + b_l f_l(H_{l-1})``
(Huang et al. 2016, equation 2; the activation after the addition is part of the network). Gates
are drawn on the host from a generator passed in, so no device has to be asked whether to go on,
and equally seeded ranks of a data-parallel group draw the same. docs/stochastic_depth.md says
what the settings mean, and what becomes of optimizer state and batch statistics.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from autodepth.errors import InputError, NetworkError
from autodepth.networks.gates.folding import fold_survival, fold_targets
from autodepth.networks.gates.insertion import Gate, insert_gates
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.modes import evaluating
from autodepth.policy.survival import (
    COMPENSATIONS,
    GATE_MODES,
    Compensation,
    GateMode,
    check_choice,
)


class GatedNetwork:
    """A residual network whose branches can be switched without changing it.

    `module` runs on the very modules of the network it was made from, under the same names.

    Args:
        network: the network to gate.
        mode: what is dropped: a branch for the whole `batch`, or for each `sample` by itself.
        compensation: `test_time` scales branches by p_l in evaluation, until they are folded;
            `inverted` scales them by 1/p_l in training. Branches that no factor can be folded
            into are always compensated for in training.

    Raises:
        NetworkError: in sample mode, a branch whose first dimension is not the batch.
    """

    def __init__(
        self,
        network: ResidualNetwork,
        *,
        mode: GateMode = "batch",
        compensation: Compensation = "test_time",
    ) -> None:
        check_choice("gate_mode", mode, GATE_MODES)
        check_choice("compensation", compensation, COMPENSATIONS)
        self.network = network
        self._mode = mode
        # A gate that knows the ReLU after it makes the gradient itself and need not copy it.
        self.module, gates = insert_gates(network, take_relu=mode == "sample")
        self._branches = tuple(branch for branch, _ in network.kept())
        self._gates = {b.index: gate for b, gate in zip(self._branches, gates, strict=True)}
        foldable = fold_targets(network) if compensation == "test_time" else {}
        self._inverted = [branch.index not in foldable for branch in self._branches]
        self._drawn_for: int | None = None  # samples per batch that the gates stand for
        if mode == "sample":
            self._find_samples()

    def __call__(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to class scores [B, classes] through the open gates."""
        if self._drawn_for not in {None, len(images)}:
            raise InputError(
                f"a batch must hold the {self._drawn_for} images that gates were drawn for, "
                f"but got {len(images)}"
            )
        return self.module(images)  # type: ignore[no-any-return]

    def train(self) -> None:
        """Put every module into training mode."""
        self.module.train()

    def eval(self) -> None:
        """Put every module into evaluation mode."""
        self.module.eval()

    def removable_gates(self) -> dict[int, Gate]:
        """Return the gates of the branches that may be removed, by branch number."""
        return {b.index: self._gates[b.index] for b in self._branches if b.removable}

    def inputs_of(self, gate: Gate) -> int:
        """Return how many values a gate takes of the network."""
        return next(len(node.args) for node in self.module.graph.nodes if node.target is gate)

    def remembering_gates(self) -> dict[int, Gate]:
        """Have every gate remember what it gives; return them by branch number."""
        for gate in self._gates.values():
            gate.remembers = True
        return self._gates

    def draw(
        self,
        survival: Sequence[float],
        generator: torch.Generator,
        batch_size: int | None = None,
        part: slice = slice(None),
        *,
        compensated: bool = True,
    ) -> float:
        """Open each gate with its survival probability for the next training step.

        Branches that cannot be removed stay open. One number is taken per branch, in sample mode
        one per branch and sample, whatever the outcome.

        Args:
            survival: p_l of each branch that is there, in order.
            generator: CPU generator.
            batch_size: images in the next batch, at least 1; sample mode needs it.
            part: which of them are this process's, where others compute the rest of the batch.
            compensated: whether `inverted` compensation scales branches; else they are as they
                will be when others are removed.

        Returns:
            How many branches the step will compute, in sample mode on average over samples.
        """
        if self._mode == "sample" and batch_size is None:
            raise InputError("sample mode must know the batch_size to draw for, but got None")
        rows = batch_size if self._mode == "sample" and batch_size else 1
        chances = self._chances(survival)
        draws = torch.rand(len(chances), rows, generator=generator)
        kept = draws < torch.tensor(chances, dtype=torch.float64)[:, None]
        counts: list[int] = kept.sum(1).tolist()
        own = kept[:, part] if self._mode == "sample" else kept
        device = next(self.module.parameters()).device
        places = own.nonzero()[:, 1].to(device, non_blocking=True)
        samples = torch.split(places, own.sum(1).tolist())
        for gate, count, chosen in zip(self._gates.values(), counts, samples, strict=True):
            gate.open, gate.alone = count > 0, count == 1
            gate.samples = chosen if count < rows else None
        scaled = [1 / p if i and p else 1.0 for i, p in self._compensated(chances)]
        self._scale(scaled if compensated else [1.0] * len(scaled))
        self._drawn_for = own.shape[1] if self._mode == "sample" else None
        return sum(counts) / rows

    def open_all(self, survival: Sequence[float] | None = None) -> None:
        """Compute every branch: the test-time rule where p_l is given, else as it is."""
        for gate in self._gates.values():
            gate.open, gate.samples = True, None
        chances = self._chances(survival or [1.0] * len(self._branches))
        self._scale([1.0 if i else p for i, p in self._compensated(chances)])
        self._drawn_for = None

    def bypass(self, index: int) -> None:
        """Compute every branch but one, unscaled."""
        self.open_all()
        self._gates[index].open = False

    def fold(self, survival: Sequence[float]) -> None:
        """Write the test-time rule into the network's own weights, which needs no gates then."""
        numbered = zip(self._branches, self._compensated(self._chances(survival)), strict=True)
        fold_survival(self.network, {b.index: 1.0 if i else p for b, (i, p) in numbered})

    def compile_branches(self, **options: Any) -> None:
        """Compile each branch by itself with `torch.compile`; which are run stays free."""
        for gate in self._gates.values():
            gate.branch = torch.compile(gate.branch, **options)

    def _chances(self, survival: Sequence[float]) -> list[float]:
        pairs = zip(self._branches, survival, strict=True)
        return [chance if branch.removable else 1.0 for branch, chance in pairs]

    def _compensated(self, chances: Sequence[float]) -> zip[tuple[bool, float]]:
        return zip(self._inverted, chances, strict=True)

    def _scale(self, scales: Sequence[float]) -> None:
        for gate, scale in zip(self._gates.values(), scales, strict=True):
            gate.scale, gate.watch = scale, None

    @torch.no_grad()
    def _find_samples(self) -> None:
        """Run two batches to see which inputs of each gate have one row per sample."""
        parameter = next(self.module.parameters())
        runs = (_Rows(self.module), _Rows(self.module))
        with evaluating(self.module):
            for batch, run in enumerate(runs, start=2):
                run.run(parameter.new_zeros(batch, *self.network.input_shape))
        for branch in self._branches:
            gate = self._gates[branch.index]
            pairs = list(zip(*(run.seen[gate] for run in runs), strict=True))
            per_sample = [pair == (("rows", 2), ("rows", 3)) for pair in pairs]
            constant = [few == more for few, more in pairs]
            if not per_sample[0] or not all(map(operator.or_, per_sample, constant)):
                raise NetworkError(
                    f"branch {branch.index} ({branch.module}) does not keep samples in its first "
                    "dimension; drop it for whole batches: gate_mode batch"
                )
            gate.per_sample = per_sample[1:]


class _Rows(fx.Interpreter):
    """Runs a gated graph and notes what each gate reads: rows of tensors, and other values."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.extra_traceback = False
        self.seen: dict[Gate, list[tuple[str, Any]]] = {}

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if isinstance(target, Gate):
            self.seen[target] = [
                ("rows", len(value)) if isinstance(value, Tensor) and value.ndim else ("", value)
                for value in args
            ]
        return super().call_function(target, args, kwargs)
