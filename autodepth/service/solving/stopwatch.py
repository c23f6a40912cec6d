"""Measuring where a study measured its latencies, if that device is here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from autodepth.errors import MeasurementError, StudyError
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.values import shown
from autodepth.space.objectives import LATENCY, place_of
from autodepth.space.search_space import SearchSpace
from autodepth.space.sections.latency_section import LatencySection
from autodepth.trial.device.device import device_name
from autodepth.trial.device.latency import measure_table
from autodepth.trial.device.latency_table import LatencyTable, tables_of
from autodepth.trial.device.runtimes.places import latency_at, where


class Stopwatch:
    """Measures networks of a study as the study did.

    Args:
        plan: of the study, as the ledger has it.
        whole: its network, on the CPU.
        own_code: whether programs that its space names may be run.
    """

    def __init__(
        self, plan: Mapping[str, Any], whole: ResidualNetwork, *, own_code: bool = False
    ) -> None:
        self._plan, self._whole, self._own_code = plan, whole, own_code
        self._device = torch.device("cuda" if plan.get("device") == "gpu" else "cpu")
        self.tables = tables_of(plan)
        """What branches add to latencies, by metric."""

    def know(self, metric: str, widths: Sequence[float]) -> None:
        """Measure what branches add to a latency, where the study did not need to know.

        Args:
            metric: `latency_ms`, or that of a place.
            widths: shares of inner channels that branches may be left with too.

        Raises:
            StudyError: it cannot be measured here.
        """
        if metric in self.tables:
            return
        if metric != LATENCY:
            asked = ", ".join(self.tables) or "no latency"
            raise StudyError(
                f"a latency at a place can be solved for where the study asked for it, but this "
                f"one asked for {asked}, not for {metric}"
            )
        if self._gpu_is_missing:
            raise StudyError(
                "a latency can be solved for where it was measured or can be, but this study did "
                "not ask for latencies, and the GPU it ran on is not here"
            )
        threads = self._plan["threads"]
        self.tables[metric] = measure_table(self._whole, self._device, threads, widths)

    def latency_ms(self, metric: str, network: ResidualNetwork) -> float:
        """Return what a network takes, milliseconds, as it would have when the table was measured.

        Args:
            metric: a latency whose table is known.
            network: in evaluation mode, on the CPU.

        Raises:
            MeasurementError: the device is not here, or tells no time.
        """
        table = self.tables[metric]
        place = self._place(metric, table)
        return latency_at(place, network, self._whole, table, self._device)

    def _place(self, metric: str, table: LatencyTable) -> LatencySection:
        """Return where a latency is measured.

        Raises:
            MeasurementError: that is not here.
        """
        name = place_of(metric)
        if name is None:
            place = LatencySection(on="torch", threads=table.threads)
        else:
            place = SearchSpace.from_dict(self._plan["space"]).places[name]
        if place.on == "torch" and self._gpu_is_missing:
            raise MeasurementError(f"it was measured on {table.device}, which is not here")
        here = device_name(self._device) if name is None else where(name, place, self._device)
        if here != table.device:
            raise MeasurementError(f"it was measured on {table.device}, but this is {here}")
        if place.command is not None and not self._own_code:
            raise MeasurementError(
                f"latency.{name}.command is a program that the study's space names: allow it with "
                f"--own-code: {shown(place.command)}"
            )
        return place

    @property
    def _gpu_is_missing(self) -> bool:
        return self._device.type == "cuda" and not torch.cuda.is_available()
