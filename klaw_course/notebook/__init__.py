"""What happens in a learner's kernel while a cluster runs: nothing outside a notebook."""

from __future__ import annotations

import sys

from klaw_course.notebook import claims, copies, interrupts, marks
from klaw_course.notebook.files import delete_folders, new_folder

__all__ = ["begin", "end", "new_folder"]


def begin(cluster) -> None:
    """Prepare this kernel for the lesson's cells. ``cluster.start`` calls it; outside a notebook it does nothing.

    Args:
        cluster: the ``Cluster`` that runs.
    """
    shell = _shell()
    if shell is None:
        return
    lacks = {
        "a private cluster": lambda: cluster.attached,
        "simulated nodes": lambda: not cluster.simulated,
        "a node on this machine": lambda: cluster.client,
        "Linux": lambda: sys.platform != "linux",
        "PyTorch": _has_no_torch,
    }
    marks.install(shell, marks.Marks(lacks))
    claims.install()
    interrupts.install(shell)
    if changed := copies.changed_since_copied():
        print(changed)


def end() -> None:
    """Put the kernel back as it was. ``cluster.stop`` calls it."""
    delete_folders()
    shell = _shell()
    if shell is not None:
        marks.remove(shell)
        claims.remove()
        interrupts.remove(shell)


def _shell():
    """IPython's shell, if this is one. IPython is not imported for that: who is in it has imported it."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def _has_no_torch() -> bool:
    from klaw_course import doctor

    return not doctor.has_transport("gloo")
