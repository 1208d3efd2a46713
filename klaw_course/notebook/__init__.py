"""What happens in a learner's kernel while a cluster runs: nothing outside a notebook."""

from __future__ import annotations


def begin(cluster) -> None:
    """Prepare this kernel for the lesson's cells; called by ``cluster.start``. Does nothing outside a notebook."""


def end() -> None:
    """Put the kernel back as it was; called by ``cluster.stop``."""
