"""Steps and latencies timed where trials will run, here or on a node of a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from autodepth.long_work import long_work
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.layout import for_convolutions
from autodepth.policy.policy import Policy
from autodepth.study.cluster.shipping import ShippedFiles, pack
from autodepth.study.plan.estimate import StepTime, measure_step_time
from autodepth.study.plan.resources import Resources
from autodepth.trial.device.device import device_name
from autodepth.trial.device.latency import measure_table
from autodepth.trial.device.latency_table import LatencyTable

if TYPE_CHECKING:
    from autodepth.study.cluster.cluster import Cluster


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What was timed, and on what.

    Args:
        step_time: seconds per image.
        hardware: name of the GPU or CPU.
    """

    step_time: StepTime
    hardware: str


def time_on_a_place(
    spec: NetworkSpec,
    network: ResidualNetwork,
    policy: Policy,
    resources: Resources,
    cluster: Cluster | None,
) -> Timing:
    """Time a few steps where trials will run: the driver's host may have no GPU, or another CPU.

    Args:
        spec: what builds the network elsewhere.
        network: the same, built; left as it is.
        policy: a typical one; its training is timed.
        resources: where trials run.
        cluster: whose nodes have these places; None for this machine.
    """
    if cluster is None:
        # Timing moves batch statistics, so it happens on a copy.
        with long_work("timing a few steps"):
            return time_steps(network.without([]), policy, resources)
    return cluster.run(
        time_steps_elsewhere, spec, pack(spec, None), policy, resources,
        cpus=resources.cpus, gpus=resources.gpus,
    )  # fmt: skip


def table_on_a_place(
    spec: NetworkSpec, network: ResidualNetwork, resources: Resources, cluster: Cluster | None
) -> LatencyTable:
    """Measure where trials will run what branches add to the latency."""
    if cluster is None:
        with long_work("measuring what each branch adds to the latency"):
            return measure_table(network, resources.torch_device, resources.threads)
    return cluster.run(
        measure_table_elsewhere, spec, pack(spec, None), resources,
        cpus=resources.cpus, gpus=resources.gpus,
    )  # fmt: skip


def time_steps(network: ResidualNetwork, policy: Policy, resources: Resources) -> Timing:
    """Time steps with the device and threads of one place; the network is used up."""
    device = resources.torch_device
    network.module.to(device)
    for_convolutions(network.module)
    threads = torch.get_num_threads()
    torch.set_num_threads(resources.threads)
    try:
        step_time = measure_step_time(network, policy, device)
    finally:
        torch.set_num_threads(threads)
    return Timing(step_time=step_time, hardware=device_name(device))


def time_steps_elsewhere(
    spec: NetworkSpec, shipped_files: ShippedFiles, policy: Policy, resources: Resources
) -> Timing:
    """Build the network on a node and time it there; weights change no time."""
    return time_steps(build_network(shipped_files.unpack_code(spec), seed=0), policy, resources)


def measure_table_elsewhere(
    spec: NetworkSpec, shipped_files: ShippedFiles, resources: Resources
) -> LatencyTable:
    """Build the network on a node and measure there what its branches add to the latency."""
    network = build_network(shipped_files.unpack_code(spec), seed=0)
    return measure_table(network, resources.torch_device, resources.threads)
