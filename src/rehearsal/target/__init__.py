"""The cloud under test, discovered from what its operator already has.

================== ==================================================================
``model``          what a target is: hosts, VIPs, endpoints, releases, problems
``options``        where to look, and how to look elsewhere
``inventory``      the INI inventories of the configuration repository, merged as OSISM does
``reconciled``     the inventory as the manager's containers have it
``variables``      the YAML of the repository: layers, vault, simple templates
``releases``       manager_version, the versions file, registry and namespace
``clouds``         clouds.yaml and secure.yaml
``apis``           what is known about OpenStack's APIs: ports, types, good answers
``catalogue``      endpoints, asked from keystone or derived from the ports
``discovery``      all of that put together
================== ==================================================================
"""

from __future__ import annotations

from rehearsal.target.discovery import discover
from rehearsal.target.model import Endpoint
from rehearsal.target.model import Host
from rehearsal.target.model import Problem
from rehearsal.target.model import Release
from rehearsal.target.model import Target
from rehearsal.target.model import Vip
from rehearsal.target.options import Options

__all__ = ["Endpoint", "Host", "Options", "Problem", "Release", "Target", "Vip", "discover"]
