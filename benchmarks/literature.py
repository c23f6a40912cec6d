"""What the literature tells of the boards of `bench_rows.py`, in one convention of MACs.

Papers cut shares of FLOPs that they count differently: with projections (option B) or without
(option A), convolutions alone or not, ResNet-50 with its stride here or there. Where what is cut is
so many identity blocks, which all cost the same, the share left is counted again from these blocks,
as autodepth counts; else it is the paper's own and `as_told`.
"""

from __future__ import annotations

from dataclasses import dataclass

# One identity block of a CIFAR ResNet, whatever its stage: two 3x3 convolutions.
_BLOCK = 2 * 9 * 16 * 16 * 32 * 32
_WHOLE = {"resnet56": 125_485_696, "resnet110": 252_887_680}  # option A, 3x32x32


@dataclass(frozen=True, kw_only=True)
class Row:
    """A network that somebody made smaller.

    Args:
        network: as autodepth names it.
        method: and year.
        cut: share of FLOPs that the source says is gone, percent.
        delta: points of test accuracy gained or lost beside the source's own baseline.
        base: accuracy of that baseline, percent; None where it is not told.
        blocks: identity blocks that this cut comes to; None where it is not whole blocks.
        source: where it is read.
    """

    network: str
    method: str
    cut: float
    delta: float
    base: float | None = None
    blocks: int | None = None
    source: str

    @property
    def as_told(self) -> bool:
        """Whether the share left is in the source's own convention."""
        return self.blocks is None

    @property
    def left(self) -> float:
        """Share of the MACs that is left, in [0, 1]."""
        if self.blocks is None:
            return 1 - self.cut / 100
        return 1 - self.blocks * _BLOCK / _WHOLE[self.network]


_CKA = "Pons et al., ICPR 2024, slides and README"
ROWS = (
    Row(network="resnet56", method="CKA 2024", cut=37.52, delta=1.25, blocks=10, source=_CKA),
    Row(network="resnet56", method="CKA 2024", cut=56.29, delta=0.95, blocks=15, source=_CKA),
    Row(network="resnet56", method="CKA 2024", cut=60.04, delta=0.78, blocks=16, source=_CKA),
    Row(network="resnet56", method="CKA 2024", cut=78.80, delta=-0.66, blocks=21, source=_CKA),
    Row(network="resnet56", method="LPSR 2022", cut=56.29, delta=0.19, blocks=15,
        source="as listed by Pons et al."),
    Row(network="resnet56", method="HRank 2020", cut=50.0, delta=-0.09, base=93.26,
        source="its repository"),
    Row(network="resnet56", method="DepGraph 2023", cut=53.1, delta=0.24, base=93.53,
        source="Torch-Pruning's README"),
    Row(network="resnet56", method="CHIP 2021", cut=47.4, delta=0.90, base=93.26,
        source="its repository"),
    Row(network="resnet56", method="CHIP 2021", cut=74.1, delta=-0.83, base=93.26,
        source="its repository"),
    Row(network="resnet110", method="CKA 2024", cut=50.33, delta=1.16, blocks=27, source=_CKA),
    Row(network="resnet110", method="CKA 2024", cut=76.42, delta=0.23, blocks=41, source=_CKA),
    Row(network="resnet110", method="CHIP 2021", cut=52.1, delta=0.94, base=93.50,
        source="its repository"),
    Row(network="resnet110", method="CHIP 2021", cut=71.6, delta=-0.27, base=93.50,
        source="its repository"),
    Row(network="resnet18", method="BNScale + GroupLASSO", cut=50.0, delta=0.44, base=75.61,
        source="PruningBench, arXiv 2406.12315, CIFAR-100 at 2x"),
    Row(network="resnet18", method="random", cut=50.0, delta=-1.41, base=75.61,
        source="PruningBench, CIFAR-100 at 2x"),
    Row(network="resnet50", method="L2 + GroupLASSO", cut=50.0, delta=0.38, base=78.35,
        source="PruningBench, CIFAR-100 at 2x"),
    Row(network="resnet50", method="random", cut=50.0, delta=-0.38, base=78.35,
        source="PruningBench, CIFAR-100 at 2x"),
    Row(network="resnet50", method="BNScale", cut=75.0, delta=-0.19, base=78.35,
        source="PruningBench, CIFAR-100 at 4x"),
)  # fmt: skip


def beside(network: str) -> list[Row]:
    """Return what is told of a network, the largest first."""
    return sorted((row for row in ROWS if row.network == network), key=lambda row: -row.left)
