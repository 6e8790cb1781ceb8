"""One file per service, as kolla-ansible has one role per service.

A role is a module with functions named after kolla's actions, each given a :class:`lab.plays.site.Site`.
What a module does not define is done by :mod:`lab.plays.roles.common`'s defaults: that is the usual
case for ``pull``, ``config``, ``precheck``, ``refresh-containers`` and ``stop``.
Order and commands follow openstack/kolla-ansible, stable/2025.1, ``ansible/roles/<role>``.
"""
