"""In every worker of a private cluster: the meeting place of a PyTorch group listens on loopback only.

The variable ``GLOO_SOCKET_IFNAME`` keeps the group's own sockets there, but not that of the store at which its members
meet: PyTorch gives that one every address of the machine, unless it gets a socket that listens already. Ray imports
this module when a worker starts; PyTorch is not loaded by it, but changed when something else loads it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import sys

_RENDEZVOUS = "torch.distributed.rendezvous"


class _WhenImported:
    """An entry of ``sys.meta_path`` that lets the module load as usual, and then changes it."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != _RENDEZVOUS:
            return None
        sys.meta_path.remove(cls)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def load_and_change(module):
            load(module)
            module.TCPStore = _on_loopback(module.TCPStore)

        spec.loader.exec_module = load_and_change
        return spec


def _on_loopback(make_store):
    """Change how a store is made: its socket listens at the host's name that it is given, not everywhere."""

    def make(host_name, port, world_size=None, is_master=False, *more, **options):
        if is_master:
            with contextlib.suppress(OSError):  # another group of this process has its store there, and shares it
                options["master_listen_fd"] = socket.create_server((host_name, port)).detach()
        return make_store(host_name, port, world_size, is_master, *more, **options)

    return make


if _RENDEZVOUS not in sys.modules:
    sys.meta_path.insert(0, _WhenImported)
