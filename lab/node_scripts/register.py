"""Registers projects, roles, users, services and endpoints in keystone; idempotent. Reads its description as JSON from argv[1].

Runs on the control node with the release's own Python, since only there the cloud's addresses exist.
"""

import json
import sys
from typing import Any

import openstack

wanted = json.loads(sys.argv[1])
cloud: Any = openstack.connect(**wanted["auth"])
identity = cloud.identity
service_project = identity.find_project("service") or identity.create_project(name="service", domain_id="default")
roles = {}
for name in ("admin", "service", "member", "reader"):
    roles[name] = identity.find_role(name) or identity.create_role(name=name)
services = {service.name: service for service in identity.services()}
for name, item in wanted["services"].items():
    user = identity.find_user(name) or identity.create_user(
        name=name, password=item["password"], domain_id="default", default_project_id=service_project.id
    )
    for role in ("admin", "service"):
        identity.assign_project_role_to_user(service_project, user, roles[role])
    service = services.get(name) or identity.create_service(name=name, type=item["type"])
    known = {endpoint.interface: endpoint for endpoint in identity.endpoints(service_id=service.id)}
    for interface, url in item["endpoints"].items():
        if interface not in known:
            identity.create_endpoint(service_id=service.id, interface=interface, region_id=wanted["region"], url=url)
print("registered", ", ".join(wanted["services"]))
