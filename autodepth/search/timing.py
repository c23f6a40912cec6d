"""Steps and latencies timed where trials will run, here or on a node of a cluster."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.policy import Policy
from autodepth.search.estimate import Pace, measure_pace
from autodepth.search.luggage import Luggage
from autodepth.search.places import Places
from autodepth.trial.device import device_name
from autodepth.trial.latency import measure_table
from autodepth.trial.latency_table import LatencyTable


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What was timed, and on what.

    Args:
        pace: seconds per image.
        hardware: name of the GPU or CPU.
    """

    pace: Pace
    hardware: str


def time_steps(network: ResidualNetwork, policy: Policy, places: Places) -> Timing:
    """Time steps with the device and threads of one place; the network is used up."""
    device = places.torch_device
    network.module.to(device)
    network.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    threads = torch.get_num_threads()
    torch.set_num_threads(places.threads)
    try:
        pace = measure_pace(network, policy, device)
    finally:
        torch.set_num_threads(threads)
    return Timing(pace=pace, hardware=device_name(device))


def time_steps_elsewhere(
    spec: NetworkSpec, luggage: Luggage, policy: Policy, places: Places
) -> Timing:
    """Build the network on a node and time it there; weights change no time."""
    luggage.lay_down()
    return time_steps(build_network(spec, seed=0), policy, places)


def measure_table_elsewhere(spec: NetworkSpec, luggage: Luggage, places: Places) -> LatencyTable:
    """Build the network on a node and measure there what its branches add to the latency."""
    luggage.lay_down()
    return measure_table(build_network(spec, seed=0), places.torch_device, places.threads)
