"""A cloud in memory with the shapes that openstacksdk shows, for tests of what is made, found again and removed.

`interrupt_after` lets the n-th call raise KeyboardInterrupt after it took effect: a runner that was killed there.
"""

from __future__ import annotations

import itertools
import re
from types import SimpleNamespace
from typing import Any

import requests
from openstack import exceptions


def refusal(message: str, status: int) -> exceptions.HttpException:
    """Return what openstacksdk raises for an answer of this status."""
    answer = requests.Response()
    answer.status_code = status
    kinds = {403: exceptions.ForbiddenException, 404: exceptions.NotFoundException, 409: exceptions.ConflictException}
    return kinds.get(status, exceptions.HttpException)(message, response=answer)


class Thing(SimpleNamespace):
    """A resource: attributes that were not given are None, as in openstacksdk."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


class FakeCloud:
    """The store behind every connection."""

    def __init__(self, hosts: tuple[str, ...] = ("host-a", "host-b")) -> None:
        self.numbers = itertools.count(1)
        self.calls = 0
        self.interrupt_after = 0
        self.forbid_projects = False
        self.own = self.thing(name="admin", domain_id="default")
        self.things: dict[str, dict[str, Thing]] = {
            kind: {}
            for kind in (
                "projects", "users", "servers", "keypairs", "networks", "subnets", "routers", "ports", "ips", "security_groups",
                "images", "server_groups", "credentials", "volumes", "subnet_pools",
            )
        }  # fmt: skip
        self.keep("projects", self.own)
        self.keep("users", self.thing(name="admin"))
        self.outer = self.keep(
            "networks",
            self.thing(
                name="public", is_router_external=True, subnet_ids=["s"], status="ACTIVE", project_id=self.own.id
            ),
        )
        self.services = [
            self.thing(binary="nova-compute", host=host, state="up", status="enabled", availability_zone="nova")
            for host in hosts
        ]
        self.address, self.address_v6 = "127.0.0.1", "::1"
        self.fault = ""

    def offer_ipv6(self, *, pool: bool = True) -> None:
        """As a cloud whose operator routes IPv6: a subnet of the outer network, and a pool for users' prefixes."""
        outer = next(iter(self.things["networks"].values()))
        self.keep("subnets", self.thing(name="public-v6", network_id=outer.id, ip_version=6))
        for number, default in ((6, False), (4, True), (6, pool)):
            self.keep("subnet_pools", self.thing(name=f"pool-{default}", ip_version=number, is_default=default))

    def thing(self, **attributes: Any) -> Thing:
        return Thing(id=f"id-{next(self.numbers)}", **attributes)

    def keep(self, kind: str, made: Thing) -> Thing:
        self.things[kind][made.id] = made
        return made

    def called(self) -> None:
        self.calls += 1
        if self.calls == self.interrupt_after:
            raise KeyboardInterrupt

    def names(self) -> list[str]:
        return sorted(
            f"{kind} {made.name or made.description or made.id}"
            for kind, store in self.things.items()
            for made in store.values()
        )


class Connection:
    """One account's view, scoped to one project."""

    def __init__(self, cloud: FakeCloud, project_id: str = "") -> None:
        self.cloud, self.project_id = cloud, project_id or cloud.own.id
        self.session = SimpleNamespace(
            get_project_id=lambda: self.project_id,
            get_user_id=lambda: "admin-user",
            get_token=lambda: "a-token-of-somebody",
            invalidate=lambda: True,
        )
        self.identity, self.compute = Identity(self), Compute(self)
        self.network, self.image, self.block_storage = Network(self), Image(self), BlockStorage(self)

    def connect_as(self, project_id: str, **_: Any) -> Connection:
        return Connection(self.cloud, project_id)

    def has_service(self, _: str) -> bool:
        return bool(self.cloud.things["volumes"])


class Api:
    def __init__(self, connection: Connection) -> None:
        self.connection, self.cloud = connection, connection.cloud

    def find(self, kind: str, **wanted: Any) -> list[Thing]:
        return [
            made
            for made in self.cloud.things[kind].values()
            if all(getattr(made, name) == value for name, value in wanted.items())
        ]

    def get(self, kind: str, key: Any) -> Thing:
        key = getattr(key, "id", key)
        try:
            return self.cloud.things[kind][key]
        except KeyError:
            raise refusal(f"no {kind} {key}", 404) from None

    def make(self, kind: str, **attributes: Any) -> Thing:
        made = self.cloud.keep(kind, self.cloud.thing(project_id=self.connection.project_id, **attributes))
        self.cloud.called()
        return made

    def drop(self, kind: str, key: Any) -> None:
        self.get(kind, key)
        del self.cloud.things[kind][getattr(key, "id", key)]
        self.cloud.called()


class Identity(Api):
    def get_project(self, key: str) -> Thing:
        return self.get("projects", key)

    def projects(self, **wanted: Any) -> list[Thing]:
        return self.find("projects", **wanted)

    def create_project(self, **attributes: Any) -> Thing:
        if self.cloud.forbid_projects:
            raise refusal("policy forbids", 403)
        made = self.make("projects", **attributes)
        self.cloud.keep("security_groups", self.cloud.thing(name="default", project_id=made.id))
        return made

    def delete_project(self, key: str, **_: Any) -> None:
        self.drop("projects", key)

    def users(self, **wanted: Any) -> list[Thing]:
        return self.find("users", **wanted)

    def get_user(self, key: str) -> Thing:
        return self.get("users", key)

    def create_user(self, **attributes: Any) -> Thing:
        return self.make("users", **attributes)

    def update_user(self, user: Thing, **_: Any) -> None:
        self.get("users", user)

    def delete_user(self, key: str, **_: Any) -> None:
        self.drop("users", key)

    def roles(self) -> list[Thing]:
        return [Thing(id="r1", name="admin"), Thing(id="r2", name="member")]

    def assign_project_role_to_user(self, **_: Any) -> None:
        self.cloud.called()

    def credentials(self) -> list[Thing]:
        return self.find("credentials")

    def get_credential(self, key: str) -> Thing:
        return self.get("credentials", key)

    def delete_credential(self, key: str, **_: Any) -> None:
        self.drop("credentials", key)


class Image(Api):
    def images(self) -> list[Thing]:
        offered = Thing(
            id="i", name="canary", status="active", size=16_000_000, min_ram=128, min_disk=0, disk_format="raw"
        )
        return [offered, *self.find("images")]

    def get_image(self, key: str) -> Thing:
        return self.get("images", key)

    def delete_image(self, key: str, **_: Any) -> None:
        self.drop("images", key)


class BlockStorage(Api):
    def volumes(self, **_: Any) -> list[Thing]:
        return self.find("volumes")

    def get_volume(self, key: str) -> Thing:
        return self.get("volumes", key)

    def delete_volume(self, key: str, **_: Any) -> None:
        self.drop("volumes", key)


class Compute(Api):
    def services(self, **_: Any) -> list[Thing]:
        return self.cloud.services

    def hypervisors(self) -> list[Thing]:
        return []

    def flavors(self, **_: Any) -> list[Thing]:
        return [
            Thing(id="f", name="tiny", ram=128, vcpus=1, disk=1),
            Thing(id="g", name="big", ram=4096, vcpus=4, disk=40),
        ]

    def update_quota_set(self, *_: Any, **__: Any) -> None:
        self.cloud.called()

    def revert_quota_set(self, *_: Any) -> None:
        self.cloud.called()

    def servers(self, name: str = "", **wanted: Any) -> list[Thing]:
        everywhere = wanted.pop("all_projects", False)
        scope = wanted.get("project_id") or (None if everywhere else self.connection.project_id)
        return [
            made
            for made in self.cloud.things["servers"].values()
            if re.search(name, made.name) and scope in (None, made.project_id)
        ]

    def create_server(self, **attributes: Any) -> Thing:
        made = self.cloud.keep(
            "servers",
            self.cloud.thing(
                project_id=self.connection.project_id, status="ACTIVE", compute_host=attributes["host"], addresses={}, flavor={},
                instance_name="instance-1", **attributes,
            ),
        )  # fmt: skip
        if self.cloud.fault:
            made.status, made.fault = "ERROR", {"message": self.cloud.fault}
        for wanted in attributes["networks"]:
            self.cloud.things["ports"][wanted["port"]].device_id = made.id
        self.cloud.called()
        return made

    def get_server(self, key: str) -> Thing:
        return self.get("servers", key)

    def delete_server(self, key: str, **_: Any) -> None:
        self.drop("servers", key)

    def wait_for_delete(self, *_: Any, **__: Any) -> None:
        pass

    def get_server_console_output(self, *_: Any, **__: Any) -> dict[str, str]:
        return {"output": "the last line of the console"}

    def server_groups(self, **_: Any) -> list[Thing]:
        return self.find("server_groups")

    def get_server_group(self, key: str) -> Thing:
        return self.get("server_groups", key)

    def delete_server_group(self, key: str, **_: Any) -> None:
        self.drop("server_groups", key)

    def keypairs(self) -> list[Thing]:
        return self.find("keypairs")

    def create_keypair(self, name: str, public_key: str) -> Thing:
        made = self.cloud.things["keypairs"][name] = Thing(id=name, name=name, public_key=public_key)
        self.cloud.called()
        return made

    def get_keypair(self, key: str) -> Thing:
        return self.get("keypairs", key)

    def delete_keypair(self, key: str, **_: Any) -> None:
        self.drop("keypairs", key)


class Network(Api):
    def update_quota(self, *_: Any, **__: Any) -> None:
        self.cloud.called()

    def delete_quota(self, *_: Any) -> None:
        self.cloud.called()

    def networks(self, **wanted: Any) -> list[Thing]:
        outer = wanted.pop("router:external", None)
        return self.find("networks", **wanted, **({"is_router_external": outer} if outer else {}))

    def create_network(self, **attributes: Any) -> Thing:
        return self.make("networks", **attributes)

    def get_network(self, key: str) -> Thing:
        return self.get("networks", key)

    def delete_network(self, key: str, **_: Any) -> None:
        if self.find("ports", network_id=key):
            raise refusal("ports are still in use", 409)
        for subnet in self.find("subnets", network_id=key):
            del self.cloud.things["subnets"][subnet.id]
        self.drop("networks", key)

    def subnets(self, **wanted: Any) -> list[Thing]:
        return self.find("subnets", **wanted)

    def create_subnet(self, **attributes: Any) -> Thing:
        return self.make("subnets", **attributes)

    def routers(self, **wanted: Any) -> list[Thing]:
        return self.find("routers", **wanted)

    def create_router(self, **attributes: Any) -> Thing:
        return self.make("routers", **attributes)

    def get_router(self, key: str) -> Thing:
        return self.get("routers", key)

    def add_interface_to_router(self, router: Thing, subnet_id: str) -> None:
        network_id = self.get("subnets", subnet_id).network_id
        fixed = [{"subnet_id": subnet_id, "ip_address": "192.0.2.1"}]
        owner = "network:router_interface"
        self.make("ports", device_id=router.id, network_id=network_id, device_owner=owner, fixed_ips=fixed)

    def remove_interface_from_router(self, router_id: str, port_id: str) -> None:
        self.get("routers", router_id)
        self.drop("ports", port_id)

    def delete_router(self, key: str, **_: Any) -> None:
        if self.find("ports", device_id=key):
            raise refusal("the router still has interfaces", 409)
        self.drop("routers", key)

    def ports(self, **wanted: Any) -> list[Thing]:
        return self.find("ports", **wanted)

    def create_port(self, **attributes: Any) -> Thing:
        second = self.find("subnets", network_id=attributes["network_id"], ip_version=6)
        addresses = [*(self.cloud.address_v6 for _ in second if self.cloud.address_v6), "192.0.2.10"]
        fixed = [{"ip_address": address} for address in addresses]
        return self.make("ports", fixed_ips=fixed, device_owner="", **attributes)

    def get_port(self, key: str) -> Thing:
        return self.get("ports", key)

    def delete_port(self, key: str, **_: Any) -> None:
        self.drop("ports", key)

    def ips(self, **wanted: Any) -> list[Thing]:
        return self.find("ips", **wanted)

    def create_ip(self, **attributes: Any) -> Thing:
        return self.make("ips", floating_ip_address=self.cloud.address, name=self.cloud.address, **attributes)

    def get_ip(self, key: str) -> Thing:
        return self.get("ips", key)

    def delete_ip(self, key: str, **_: Any) -> None:
        self.drop("ips", key)

    def subnet_pools(self) -> list[Thing]:
        return self.find("subnet_pools")

    def get_subnet_pool(self, key: str) -> Thing:
        return self.get("subnet_pools", key)

    def delete_subnet_pool(self, key: str, **_: Any) -> None:
        self.drop("subnet_pools", key)

    def security_groups(self, **wanted: Any) -> list[Thing]:
        return self.find("security_groups", **wanted)

    def create_security_group(self, **attributes: Any) -> Thing:
        return self.make("security_groups", **attributes)

    def get_security_group(self, key: str) -> Thing:
        return self.get("security_groups", key)

    def delete_security_group(self, key: str, **_: Any) -> None:
        self.drop("security_groups", key)

    def security_group_rules(self, **_: Any) -> list[Thing]:
        return []

    def create_security_group_rule(self, **_: Any) -> None:
        self.cloud.called()

    def agents(self) -> list[Thing]:
        return []
