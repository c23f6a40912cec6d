"""Which networks autodepth finds residual branches in: writes docs/networks.md.

Every classification model of torchvision, and one of each module of `timm.models`, is built with
random weights, traced and measured. Those that are small enough are checked further, image size
reduced where they allow it:

- same: the traced network gives what the original gives, bit for bit;
- bypass (of some): for every identity branch, removing it gives what leaving it out gives, bit
  for bit;
- thin: with one branch left in each stage it trains a step, and its state dict reloads;
- sum: stem, branches, between and head add up to the network's MACs and parameters.

Run: python benchmarks/networks_table.py   (about 15 minutes on one core; needs the extra timm)
"""

from __future__ import annotations

import argparse
import platform
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from autodepth.errors import NetworkError
from autodepth.networks.catalogue import NetworkSpec, build_module, default_input
from autodepth.networks.gates import GatedNetwork
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.timm_door import import_timm
from autodepth.torchvision_door import import_torchvision

PAGE = Path(__file__).parents[1] / "docs" / "networks.md"
CHECK_MACS = 1.5e9  # a network is checked further up to this size
SMALL_MACS = 3e8  # beyond this it is built for smaller images first, if it takes them
CHECK_SIZE = 96  # pixels
# Removing branch by branch takes a while: of these networks each identity branch is tried.
BRANCH_BY_BRANCH = """
resnet18 resnet50 resnext50_32x4d wide_resnet50_2 regnet_x_400mf regnet_y_400mf convnext_tiny
vit_b_32 swin_t swin_v2_t efficientnet_b0 efficientnet_v2_s mobilenet_v2 mobilenet_v3_large
mnasnet0_5 cait_xxs24_224 coat_lite_tiny convit_tiny convnextv2_femto crossvit_tiny_240
deit_tiny_distilled_patch16_224 dla34 edgenext_xx_small efficientformerv2_s0 efficientvim_m1
efficientvit_m0 fasternet_t0 fastvit_t8 ghostnet_100 hrnet_w18_small levit_128 mambaout_femto
mixer_s32_224 mobilevit_xxs pit_ti_224 poolformer_s12 pvt_v2_b0 repghostnet_050 starnet_s1
swiftformer_xs vit_tiny_patch16_224 xcit_nano_12_p16_224
""".split()  # noqa: SIM905 - forty quotes read worse

# Identity and projection branches as the family's definition has them; (0, 0) has none.
TORCHVISION = {
    "resnet18": (5, 3), "resnet34": (13, 3), "resnet50": (12, 4), "resnet101": (29, 4),
    "resnet152": (46, 4), "resnext50_32x4d": (12, 4), "resnext101_32x8d": (29, 4),
    "resnext101_64x4d": (29, 4), "wide_resnet50_2": (12, 4), "wide_resnet101_2": (29, 4),
    "regnet_x_400mf": (18, 4), "regnet_x_800mf": (12, 4), "regnet_x_1_6gf": (14, 4),
    "regnet_x_3_2gf": (21, 4), "regnet_x_8gf": (19, 4), "regnet_x_16gf": (18, 4),
    "regnet_x_32gf": (19, 4), "regnet_y_400mf": (12, 4), "regnet_y_800mf": (10, 4),
    "regnet_y_1_6gf": (23, 4), "regnet_y_3_2gf": (17, 4), "regnet_y_8gf": (13, 4),
    "regnet_y_16gf": (14, 4), "regnet_y_32gf": (16, 4), "regnet_y_128gf": (23, 4),
    "convnext_tiny": (18, 0), "convnext_small": (36, 0), "convnext_base": (36, 0),
    "convnext_large": (36, 0), "vit_b_16": (24, 0), "vit_b_32": (24, 0), "vit_l_16": (48, 0),
    "vit_l_32": (48, 0), "vit_h_14": (64, 0), "swin_t": (24, 0), "swin_s": (48, 0),
    "swin_b": (48, 0), "swin_v2_t": (24, 0), "swin_v2_s": (48, 0), "swin_v2_b": (48, 0),
    "maxvit_t": (51, 4), "efficientnet_b0": (9, 0), "efficientnet_b1": (16, 0),
    "efficientnet_b2": (16, 0), "efficientnet_b3": (19, 0), "efficientnet_b4": (25, 0),
    "efficientnet_b5": (32, 0), "efficientnet_b6": (38, 0), "efficientnet_b7": (48, 0),
    "efficientnet_v2_s": (35, 0), "efficientnet_v2_m": (51, 0), "efficientnet_v2_l": (73, 0),
    "mobilenet_v2": (10, 0), "mobilenet_v3_small": (6, 0), "mobilenet_v3_large": (10, 0),
    "mnasnet0_5": (10, 0), "mnasnet0_75": (10, 0), "mnasnet1_0": (10, 0), "mnasnet1_3": (10, 0),
}  # fmt: skip
# One small model of each module; a module that is not named here is taken by its first model.
TIMM = """
beitv2_base_patch16_224 botnet26t_256 gcresnext50ts cait_xxs24_224 coat_lite_tiny convit_tiny
convmixer_768_32 convnextv2_femto cpubone_t0 crossvit_tiny_240 csatv2 cspresnet50 cspnext_tiny
davit_tiny deepseek_vit_412m deit_tiny_distilled_patch16_224 densenet121 dla34 dpn68
edgenext_xx_small efficientformer_l1 efficientformerv2_s0 efficientnet_b0 efficientvim_m1
efficientvit_b0 efficientvit_m0 eva02_tiny_patch14_224 fasternet_t0 fastvit_t8 focalnet_tiny_srf
gcvit_xxtiny gemma4_vit_167m ghostnet_100 hardcorenas_a hgnetv2_b0 hiera_tiny_224 hieradet_small
hrnet_w18_small iformer_t inception_next_atto inception_resnet_v2 inception_v3 inception_v4
lcnetv2_small levit_128 lowformer_b0 mambaout_femto coatnet_nano_rw_224 poolformer_s12
mixer_s32_224 mobilenetv3_small_100 mobilenetv5_base mobilevit_xxs mvitv2_tiny
naflexvit_base_patch16_gap nasnetalarge nest_tiny nextvit_small nf_resnet26 pit_ti_224
pnasnet5large pvt_v2_b0 qwen3_vit_88m rdnet_tiny regnety_004 repghostnet_050 repvit_m1
res2net50_14w_8s resnest14d resnet18 resnetv2_50 rexnet_100 selecsls42 legacy_seresnet18
sequencer2d_s shvit_s1 skresnet18 starnet_s1 swiftformer_xs swin_tiny_patch4_window7_224
swinv2_tiny_window8_256 swinv2_cr_tiny_224 tiny_vit_5m_224 tnt_s_patch16_224 tresnet_m
twins_svt_small vgg11 visformer_tiny vit_tiny_patch16_224 vit_tiny_r_s16_p8_224
vit_relpos_small_patch16_224 samvit_base_patch16_224 vitamin_small_224 volo_d1_224
ese_vovnet39b legacy_xception xception41 xcit_nano_12_p16_224
""".split()  # noqa: SIM905 - a hundred quotes read worse
# Modules without an addition of x and f(x): plain, densely connected or concatenating networks.
WITHOUT = frozenset({"densenet", "inception_v3", "inception_v4", "rdnet", "selecsls", "vgg"})
# Made for images of 1000 pixels and more; a smaller one shows the same branches.
SMALLER = {"deepseek_vit_412m": 256, "gemma4_vit_167m": 192, "qwen3_vit_88m": 256}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One network of the table."""

    name: str
    size: str
    branches: str = ""
    stages: str = ""
    macs: str = ""
    checks: str = ""
    remark: str = ""

    def __str__(self) -> str:
        cells = (self.size, self.branches, self.stages, self.macs, self.checks, self.remark)
        return " | ".join((f"| `{self.name}`", *cells)) + " |"


def examine(spec: NetworkSpec) -> Row:
    """Find, measure and check one network."""
    size = "x".join(map(str, spec.input_shape))
    row = Row(name=spec.name.partition(":")[2], size=size)
    module = build_module(spec)
    try:
        network = ResidualNetwork.from_module(module, spec.input_shape, classes=spec.classes)
    except NetworkError as error:
        return replace(row, branches="none", remark=str(error).replace("|", "/"))
    identity = sum(branch.shortcut == "identity" for branch in network.branches)
    row = replace(
        row,
        branches=f"{identity}+{len(network.branches) - identity}",
        stages=str(network.num_stages),
        macs=f"{network.total_macs / 1e6:,.0f}",
        remark="; ".join(
            [*network.notes, *sorted({b.obstacle for b in network.branches if b.obstacle})]
        ),
    )
    if network.total_macs > SMALL_MACS:
        module, network = smaller(spec) or (module, network)
    if network.total_macs > CHECK_MACS:
        return replace(row, checks="sum" if adds_up(network) else "sum FAILED")
    every = row.name in BRANCH_BY_BRANCH
    return replace(row, checks=" ".join(checks(module, network, every_branch=every)))


def smaller(spec: NetworkSpec) -> tuple[nn.Module, ResidualNetwork] | None:
    """Build the network for smaller images, if it allows that."""
    spec = replace(spec, height=CHECK_SIZE, width=CHECK_SIZE)
    if spec.name.startswith("torchvision:vit"):
        spec = replace(spec, arguments={"image_size": CHECK_SIZE})
    try:
        module = build_module(spec)
        return module, ResidualNetwork.from_module(module, spec.input_shape)
    except (NetworkError, AssertionError, RuntimeError):
        return None


def checks(module: nn.Module, network: ResidualNetwork, *, every_branch: bool) -> Iterator[str]:
    """Yield the name of each check, with FAILED after those that fail."""
    images = torch.randn(2, *network.input_shape, generator=torch.Generator().manual_seed(1))
    results = {"same": same(module, network, images)}
    if every_branch:
        results["bypass"] = removing_is_bypassing(network, images[:1])
    results |= {"thin": thinned_trains(network, images), "sum": adds_up(network)}
    for name, holds in results.items():
        yield name if holds else f"{name} FAILED"


@torch.no_grad()
def same(module: nn.Module, network: ResidualNetwork, images: torch.Tensor) -> bool:
    """Whether the graph computes what the original computes."""
    return torch.equal(module.eval()(images), network.module.eval()(images))


@torch.no_grad()
def removing_is_bypassing(network: ResidualNetwork, images: torch.Tensor) -> bool:
    """Whether each identity branch leaves the same network, removed or left out."""
    gated = GatedNetwork(network)
    gated.eval()
    for branch in network.branches:
        if branch.shortcut == "identity" and branch.removable:
            gated.bypass(branch.index)
            removed = network.without([branch.index]).module.eval()
            if not torch.equal(gated(images), removed(images)):
                return False
    return True


def thinned_trains(network: ResidualNetwork, images: torch.Tensor) -> bool:
    """Whether one branch per stage runs, trains, and reloads with the same keys."""
    last = {branch.stage: branch.index for branch in network.branches}
    gone = [b.index for b in network.branches if b.removable and b.index != last[b.stage]]
    thin = network.without(gone)
    thin.module.train()
    thin.module(images).sum().backward()
    kept = thin.module.state_dict()
    again = network.without(gone).module
    again.load_state_dict(kept)
    return set(kept) <= set(network.module.state_dict()) and any(
        parameter.grad is not None for parameter in thin.module.parameters()
    )


def adds_up(network: ResidualNetwork) -> bool:
    """Whether the parts are the whole."""
    parts = [*network.branches, *network.around]
    return (sum(p.macs for p in parts), sum(p.parameters for p in parts)) == (
        network.total_macs,
        network.total_parameters,
    )


def torchvision_rows() -> Iterator[Row]:
    """Yield a row for each classification model of torchvision."""
    models = import_torchvision().models
    for name in models.list_models(module=models):
        row = examine(spec_of(f"torchvision:{name}"))
        identity, projection = TORCHVISION.get(name, (0, 0))
        defined = f"{identity}+{projection}" if name in TORCHVISION else "none"
        yield row if row.branches == defined else replace(row, remark=f"DEFINED {defined}")


def timm_rows() -> Iterator[tuple[str, Row]]:
    """Yield module and row for one model of each module of timm."""
    timm = import_timm()
    for module in sorted(timm.list_modules()):
        models = timm.list_models(module=module)
        name = next((name for name in TIMM if name in models), models[0])
        yield module, examine(spec_of(f"timm:{name}"))


def spec_of(name: str) -> NetworkSpec:
    """Return a network with its usual input and 1000 classes."""
    channels, height, width = default_input(name)
    size = SMALLER.get(name.partition(":")[2])
    return NetworkSpec(
        name=name, classes=1000, channels=channels, height=size or height, width=size or width
    )


HEADER = (
    "| network | image | branches | stages | million MACs | checks | remark |\n" + "|---" * 7 + "|"
)


def main() -> None:
    """Write the page, a line at a time on the terminal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=PAGE)
    to = parser.parse_args().to
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    start = time.monotonic()
    vision, families = [], []
    for row in torchvision_rows():
        print(row, flush=True)
        vision.append(row)
    for module, row in timm_rows():
        print(module, row, flush=True)
        families.append((module, row))
    to.parent.mkdir(exist_ok=True)
    to.write_text(page(vision, families, time.monotonic() - start), encoding="utf-8")


def page(vision: list[Row], families: list[tuple[str, Row]], seconds: float) -> str:
    """Return the page with both tables."""
    residual = [(m, r) for m, r in families if m not in WITHOUT]
    found = sum(row.branches != "none" for _, row in residual)
    wrong = sum(row.remark.startswith("DEFINED") for row in vision)
    rows = [*vision, *(row for _, row in families)]
    checked = [row for row in rows if "same" in row.checks]
    tried = [row for row in checked if "bypass" in row.checks]
    failed = [row for row in rows if "FAILED" in row.checks]
    timm, torchvision = import_timm().__version__, import_torchvision().__version__
    lines = [
        INTRODUCTION,
        f"torchvision {torchvision}, timm {timm}, torch {torch.__version__}, Python "
        f"{platform.python_version()}; random weights; {seconds / 60:.0f} minutes on one core.",
        "",
        f"- torchvision: {len(vision)} models, {len(vision) - wrong} as their family is defined.",
        f"- timm: {len(families)} modules, {len(residual)} of them with residual additions; "
        f"branches found in {found} ({found / len(residual):.1%}).",
        f"- Checked further: {len(checked)} networks, {len(tried)} of them branch by branch; "
        f"{len(failed)} with a failure.",
        "",
        "## torchvision",
        "",
        HEADER,
        *map(str, vision),
        "",
        "## timm, one model of each module",
        "",
        HEADER.replace("| network", "| module | network").replace("|---", "|---|---", 1),
        *(f"| {module} {row}" for module, row in families),
        "",
    ]
    return "\n".join(lines)


INTRODUCTION = """\
# Networks

Written by `python benchmarks/networks_table.py`.

`branches` are those with an identity shortcut + those with a projection. A number of stages is a
number of output shapes. Checks: *same*: the traced network gives what the original gives, bit for
bit; *bypass* (of some networks): removing any single identity branch gives what leaving it out
gives, bit for bit;
*thin*: with one branch left in each stage it runs forward and backward, and its state dict
reloads; *sum*: stem, branches, what is between them and head add up to the MACs and parameters of
the network. Networks of more than 0.3 billion MACs are checked on images of 96 pixels where they
take them; those beyond 1.5 billion MACs after that only for the sum.
"""


if __name__ == "__main__":
    main()
