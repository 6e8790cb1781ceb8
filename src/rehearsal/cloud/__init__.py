"""The cloud under test, discovered from what its operator already has.

================== ==================================================================
``target``         what a target is: hosts, VIPs, endpoints, releases, problems
``options``        where to look, and how to look elsewhere
``inventory``      the INI inventories of the configuration repository, merged as OSISM does
``reconciled``     the inventory as the manager's containers have it
``variables``      the YAML of the repository: layers, vault, simple templates
``releases``       manager_version, the versions file, registry and namespace
``clouds``         clouds.yaml and secure.yaml
``knownapis``      what is known about OpenStack's APIs: ports, types
``whereabouts``    endpoints, asked from keystone or derived from the ports
``sshaccess``      how a host is reached over SSH, as its variables say
``discovery``      all of that put together
``connection``     the cloud's API, for what the rehearsal makes, moves, counts and removes
``sessions``       no token to an address that may not have one; ``trusted`` says which may
``facts``          what is in the cloud at one moment; ``sameness``: what is the same later
``expected``       which containers a release expects, from which image, on which host
================== ==================================================================
"""

from __future__ import annotations

from rehearsal.cloud.discovery import discover
from rehearsal.cloud.options import Options
from rehearsal.cloud.target import Endpoint
from rehearsal.cloud.target import Host
from rehearsal.cloud.target import Problem
from rehearsal.cloud.target import Release
from rehearsal.cloud.target import Target
from rehearsal.cloud.target import Vip

__all__ = ["Endpoint", "Host", "Options", "Problem", "Release", "Target", "Vip", "discover"]
