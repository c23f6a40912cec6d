"""Which policy comes next: sampler, known parents, expected improvement of the front."""
