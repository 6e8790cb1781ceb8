"""The manager of the lab's cloud: OSISM's containers, its configuration repository, its updates.

================== ==================================================================
``release``        what an OSISM release consists of: versions of the manager's parts
``configuration``  ``/opt/configuration`` in OSISM's layout, as text by path
``interface``      ``/interface`` and the inventory defaults that OSISM's images carry
``reconcile``      what ``osism sync inventory`` does: the merged ``/ansible/inventory``
``layers``         the images of these containers
``compose``        redis, reconciler, osism-ansible, kolla-ansible, osismclient in Docker
``setup``          all of it at once, for ``rehearse-lab up``
``update``         ``osism update manager``: the same containers at another release
``wrapper``        ``/usr/local/bin/osism`` and ``openstack`` on the manager node
================== ==================================================================

The ``osism`` command and its Celery workers are OSISM's own, from PyPI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab import layout


def up(state: layout.State, *, say: Callable[[str], None] = print) -> None:
    """Make the manager complete on its running node; see :func:`lab.manager.setup.up`."""
    from lab.manager import setup  # noqa: PLC0415 - the run scripts' containers need only parts of this package

    setup.up(state, say=say)
