"""Which image, flavor, outer network and computes canaries get: pure choices among what the cloud offers.

Every choice takes plain objects with the attributes of openstacksdk's resources, and says in one sentence why there is
nothing to choose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence

_GIB = 1024**3
_SMALL_IMAGE_BYTES = 100 * 1024**2
_ORDINARY_RAM_MIB = 512
_TINY_RAM_MIB = 64
# Best first: made for this, made for tests, minimal, ordinary with cloud-init.
_KNOWN_IMAGES = (
    "rehearse",
    "canary",
    "cirros",
    "minimal",
    "alpine",
    "debian",
    "ubuntu",
    "rocky",
    "almalinux",
    "centos",
    "fedora",
)
_NO_DISK_FORMATS = frozenset({"aki", "ari", "ami", "iso"})


class NothingSuitableError(Exception):
    """The cloud offers nothing that a canary could use; the message is one sentence with a remedy."""


def image(offered: Iterable[Any], wanted: str = "") -> Any:
    """Return the wanted image (name or id), or the one that is likely to boot fastest among those with a known name."""
    active = [each for each in offered if each.status == "active"]
    if wanted:
        return _named(active, wanted, "image", "--canary-image")
    ranked = [(rank, each.size or 0, each.name, each) for each in active if (rank := _rank(each)) is not None]
    if not ranked:
        raise NothingSuitableError(
            "No image looks like a small Linux with cloud-init (by its name): name one with --canary-image."
        )
    return min(ranked, key=lambda entry: entry[:3])[3]


def _rank(offered: Any) -> int | None:
    if offered.disk_format in _NO_DISK_FORMATS or getattr(offered, "os_type", None) == "windows":
        return None
    architecture = getattr(offered, "architecture", None)
    if architecture and architecture not in {"x86_64", "amd64"}:
        return None
    name = (offered.name or "").lower()
    return next((rank for rank, word in enumerate(_KNOWN_IMAGES) if word in name), None)


def flavor(offered: Iterable[Any], chosen_image: Any, wanted: str = "") -> Any:
    """Return the wanted flavor (name or id), or the smallest that the image can boot with."""
    everything = list(offered)
    if wanted:
        return _named(everything, wanted, "flavor", "--canary-flavor")
    small = (chosen_image.size or 0) < _SMALL_IMAGE_BYTES
    ram_mib = max(chosen_image.min_ram or 0, _TINY_RAM_MIB if small else _ORDINARY_RAM_MIB)
    virtual_bytes = getattr(chosen_image, "virtual_size", None) or chosen_image.size or 0
    disk_gib = max(chosen_image.min_disk or 0, -(-virtual_bytes // _GIB))
    # A flavor without a disk takes the image's own size, which some clouds forbid; it is fine if it is the smallest.
    fitting = [
        each
        for each in everything
        if each.ram >= ram_mib and (each.disk >= disk_gib or each.disk == 0) and not _is_special(each)
    ]
    if not fitting:
        raise NothingSuitableError(
            f"No flavor has {ram_mib} MiB of memory and {disk_gib} GiB of disk for image {chosen_image.name}:"
            " make one or name one with --canary-flavor."
        )
    return min(fitting, key=lambda each: (each.ram, each.vcpus, each.disk, each.name))


def _is_special(offered: Any) -> bool:
    """Tell whether a flavor asks for hardware (GPU, huge pages, dedicated cores) that not every host has."""
    special = (
        "pci_passthrough:",
        "resources:",
        "hw:mem_page_size",
        "hw:cpu_policy",
        "trait:",
        "aggregate_instance_extra_specs:",
    )
    return any(str(key).startswith(special) for key in (getattr(offered, "extra_specs", None) or {}))


def outer_network(offered: Iterable[Any], wanted: str = "") -> Any:
    """Return the wanted external network (name or id), or the default one, or the first that has a subnet."""
    outer = [each for each in offered if each.is_router_external]
    if wanted:
        return _named(outer, wanted, "external network", "--canary-network")
    usable = [each for each in outer if each.subnet_ids and each.is_admin_state_up is not False]
    if not usable:
        raise NothingSuitableError(
            "There is no external network with a subnet, so canaries cannot get floating IPs: make one with router:external."
        )
    return min(usable, key=lambda each: (not each.is_default, each.name or "", each.id))


def ipv6_pool(offered: Iterable[Any]) -> Any:
    """Return the subnet pool that gives IPv6 prefixes to users: the default one, or the first that is shared."""
    pools = [each for each in offered if each.ip_version == 6 and (each.is_default or each.is_shared)]
    if not pools:
        raise NothingSuitableError(
            "There is no shared subnet pool of IPv6, so users' networks get no routed prefix: make one with"
            " `openstack subnet pool create --share --default`."
        )
    return min(pools, key=lambda each: (not each.is_default, each.name or "", each.id))


def computes(services: Iterable[Any], wanted: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """Return the hosts that can take a canary, sorted, and why each of the others cannot."""
    usable: list[str] = []
    others: dict[str, str] = {}
    for each in services:
        if each.binary != "nova-compute" or (wanted and each.host not in wanted):
            continue
        if each.state != "up":
            others[each.host] = f"nova-compute on {each.host} is {each.state}"
        elif each.status != "enabled":
            others[each.host] = f"nova-compute on {each.host} is {each.status}"
        else:
            usable.append(each.host)
    for host in wanted:
        if host not in usable and host not in others:
            others[host] = f"there is no nova-compute on {host}"
    return sorted(set(usable)), others


def _named(offered: Sequence[Any], wanted: str, what: str, option: str) -> Any:
    found = [each for each in offered if wanted in (each.id, each.name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise NothingSuitableError(f"{len(found)} {what}s are named {wanted!r}: give the id of one with {option}.")
    names = ", ".join(sorted(str(each.name) for each in offered)[:8]) or "none"
    raise NothingSuitableError(f"There is no {what} {wanted!r} (there are: {names}): name another with {option}.")
