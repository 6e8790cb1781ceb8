"""Everything that pre-flight claims holds again, for the release that the cloud has now.

The claims are pre-flight's own tests; the recorder writes them down under post-flight's name.
"""

from __future__ import annotations

from suites.preflight.test_agents import test_neutron_agent
from suites.preflight.test_agents import test_nova_service
from suites.preflight.test_apis import test_api_answers
from suites.preflight.test_apis import test_certificate
from suites.preflight.test_apis import test_haproxy_servers
from suites.preflight.test_computes import test_compute_capacity
from suites.preflight.test_computes import test_libvirt_answers
from suites.preflight.test_containers import test_container_health
from suites.preflight.test_containers import test_container_image
from suites.preflight.test_containers import test_container_release
from suites.preflight.test_containers import test_container_running
from suites.preflight.test_containers import test_container_tag
from suites.preflight.test_containers import test_no_unexpected_container
from suites.preflight.test_surroundings import test_disk_space
from suites.preflight.test_surroundings import test_facts_fresh
from suites.preflight.test_surroundings import test_lock_file
from suites.preflight.test_surroundings import test_tag_override
from suites.preflight.test_surroundings import test_task_lock

__all__ = [
    "test_api_answers",
    "test_certificate",
    "test_compute_capacity",
    "test_container_health",
    "test_container_image",
    "test_container_release",
    "test_container_running",
    "test_container_tag",
    "test_disk_space",
    "test_facts_fresh",
    "test_haproxy_servers",
    "test_libvirt_answers",
    "test_lock_file",
    "test_neutron_agent",
    "test_no_unexpected_container",
    "test_nova_service",
    "test_tag_override",
    "test_task_lock",
]
