"""How survival probabilities move while a network trains: formulas of how far training is.

Sources: linear ramp of ScheduledDropPath (Zoph et al. 2018, arXiv 1707.07012); early-off and
late-on of Liu et al. 2023 (arXiv 2303.01500, section 4); progressive of Zhang & He 2020 (arXiv
2010.13369, section 4.2), whose gamma of 100 / steps is a cutoff of 0.05 here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

from autodepth.errors import InputError
from autodepth.policy.survival import check_choice

DepthSchedule = Literal["constant", "ramp", "early_off", "late_on", "progressive"]
DEPTH_SCHEDULES: tuple[DepthSchedule, ...] = get_args(DepthSchedule)

# An exponential has come this far at its cutoff: 1 - exp(-5) = 99.3 %.
_DECAY_TO_CUTOFF = 5.0


def survival_at(
    survival: Sequence[float], progress: float, schedule: DepthSchedule, cutoff: float
) -> tuple[float, ...]:
    """Return the survival probabilities at a moment of training, each in [p_l, 1].

    Args:
        survival: p_1..p_L, each in (0, 1], the lowest they come to.
        progress: share of the training steps that are over, in [0, 1].
        schedule: `constant` (p_l), `ramp` (from 1 down to p_l at the cutoff), `early_off` (from
            p_l up to 1 at the cutoff, none dropped after it), `late_on` (1 before the cutoff, p_l
            from there on) or `progressive` (from 1 towards p_l, exponentially).
        cutoff: share of training in (0, 1]; not read by `constant`.

    Raises:
        InputError: an argument is outside its range.
    """
    check_choice("depth_schedule", schedule, DEPTH_SCHEDULES)
    check_cutoff(cutoff)
    if not 0.0 <= progress <= 1.0:
        raise InputError(f"progress must be in [0, 1], but got {progress}")
    part = min(1.0, progress / cutoff)
    dropping = {
        "constant": 1.0,
        "ramp": part,
        "early_off": 1.0 - part,
        "late_on": float(progress >= cutoff),
        "progressive": 1.0 - math.exp(-_DECAY_TO_CUTOFF * progress / cutoff),
    }[schedule]
    return tuple(max(lowest, 1.0 - dropping * (1.0 - lowest)) for lowest in survival)


def check_cutoff(cutoff: float) -> None:
    """Raise InputError unless a cutoff is in (0, 1]."""
    if not 0.0 < cutoff <= 1.0:
        raise InputError(f"depth_schedule_cutoff must be in (0, 1], but got {cutoff}")
