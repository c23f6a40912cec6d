"""One seed per use, derived from the study's seed; no generator is ever shared or global."""

from __future__ import annotations

import hashlib


def derive_seed(study_seed: int, *purpose: str | int) -> int:
    """Return the seed of one use of randomness.

    The same study seed and purpose always give the same seed, on every machine and in every
    order of calls; different purposes give independent ones.

    Args:
        study_seed: the seed a person chose for the study.
        purpose: what the seed is for, from general to particular, e.g. `("training", 0)`.

    Returns:
        An integer in [0, 2**63), fit for `torch.Generator.manual_seed` and NumPy.
    """
    text = "/".join(str(part) for part in (study_seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
