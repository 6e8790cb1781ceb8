"""The manager of the lab's cloud: OSISM's containers, its configuration repository, its updates.

================== ==================================================================
``release``        what an OSISM release consists of: versions of the manager's parts
``configuration``  ``/opt/configuration`` in OSISM's layout, as text by path
``interface``      ``/interface`` and the inventory defaults that OSISM's images carry
``reconcile``      what ``osism sync inventory`` does: the merged ``/ansible/inventory``
``containers``     redis, reconciler, osism-ansible, kolla-ansible, osismclient in Docker
``update``         ``osism update manager``: the same containers at another release
``wrapper``        ``/usr/local/bin/osism`` and ``openstack`` on the manager node
================== ==================================================================

The ``osism`` command and its Celery workers are OSISM's own, from PyPI.
"""
