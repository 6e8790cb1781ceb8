"""Faults beside those of `rehearse-lab break`: what an operator or a colleague leaves behind, made on the lab's nodes.

Each is a pair of shell scripts for one node. `reds` is exactly what must turn red in pre-flight: check, host, container or
service. `settles_s`: how long the cloud itself needs until it can know.
"""

from __future__ import annotations

from dataclasses import dataclass

MANAGER, CONTROL, COMPUTE_0, COMPUTE_1 = "lab-manager", "lab-control-0", "lab-compute-0", "lab-compute-1"
_REFERENCE = "$(docker inspect -f '{{.Config.Image}}' %s)"
_REDIS = "docker exec manager-redis-1 redis-cli --raw"
_SOCKET = "/proc/$(docker inspect -f '{{.State.Pid}}' haproxy)/root/var/lib/kolla/haproxy/haproxy.sock"


@dataclass(frozen=True, slots=True)
class MadeFault:
    """A fault and its end."""

    node: str
    break_: str
    mend: str
    reds: frozenset[tuple[str, str, str]]
    settles_s: float = 0.0


def _freeze(container: str, signal: str) -> str:
    """Stop or continue the container's own processes; a guest of nova_libvirt is none of them."""
    return f"docker top {container} -eo pid,comm | awk 'NR > 1 && $2 !~ /qemu/ {{print $1}}' | xargs kill -{signal}"


FAULTS: dict[str, MadeFault] = {
    "lock-file": MadeFault(
        MANAGER,
        "touch /opt/configuration/environments/.lock",
        "rm -f /opt/configuration/environments/.lock",
        frozenset({("preflight.lock-file", "", "osism")}),
    ),
    "task-lock": MadeFault(
        MANAGER,
        "osism lock --user colleague --reason maintenance",
        "osism unlock",
        frozenset({("preflight.task-lock", "", "osism")}),
    ),
    "facts-stale": MadeFault(
        MANAGER,
        f'key=$({_REDIS} zrange ansible_cache_keys 0 -1 | grep {COMPUTE_1}); {_REDIS} zscore ansible_cache_keys "$key" > /tmp/score;'
        f' {_REDIS} zadd ansible_cache_keys 1700000000 "$key"',
        f'key=$({_REDIS} zrange ansible_cache_keys 0 -1 | grep {COMPUTE_1}); {_REDIS} zadd ansible_cache_keys $(cat /tmp/score) "$key"',
        frozenset({("preflight.facts-fresh", COMPUTE_1, "osism")}),
    ),
    "disk-full": MadeFault(
        COMPUTE_0,
        "mount -t tmpfs -o size=64m full /var/log",
        "umount /var/log",
        frozenset({("preflight.disk-space", COMPUTE_0, "")}),
    ),
    "container-unexpected": MadeFault(
        COMPUTE_1,
        f"docker run -d --name heat_api --network host -v /usr:/usr:ro --entrypoint /usr/bin/sleep {_REFERENCE % 'cron'} 3600",
        "docker rm -f heat_api",
        frozenset({("preflight.container-unexpected", COMPUTE_1, "heat_api")}),
    ),
    "tag-moved": MadeFault(
        CONTROL,
        f"docker tag {_REFERENCE % 'cron'} {_REFERENCE % 'memcached'}",
        f"docker tag $(docker inspect -f '{{{{.Image}}}}' memcached) {_REFERENCE % 'memcached'}",
        frozenset({("preflight.container-image", CONTROL, "memcached")}),
    ),
    "image-missing": MadeFault(
        COMPUTE_0,
        f"docker rmi -f {_REFERENCE % 'cron'}",
        f"docker tag $(docker inspect -f '{{{{.Image}}}}' cron) {_REFERENCE % 'cron'}",
        frozenset({("preflight.target-image", COMPUTE_0, "cron")}),
    ),
    "server-in-maintenance": MadeFault(
        CONTROL,
        f"echo 'set server nova_novncproxy/{CONTROL} state maint' | socat - UNIX-CONNECT:{_SOCKET}",
        f"echo 'set server nova_novncproxy/{CONTROL} state ready' | socat - UNIX-CONNECT:{_SOCKET}",
        frozenset({("preflight.haproxy-servers", CONTROL, "haproxy")}),
    ),
    "compute-disabled": MadeFault(
        MANAGER,
        f"osism manage compute disable --reason maintenance {COMPUTE_0}",
        f"osism manage compute enable {COMPUTE_0}",
        frozenset({("preflight.compute-capacity", COMPUTE_1, "nova")}),
    ),
    "libvirtd-hung": MadeFault(
        COMPUTE_1,
        _freeze("nova_libvirt", "STOP"),
        _freeze("nova_libvirt", "CONT"),
        frozenset({("preflight.libvirt-answers", COMPUTE_1, "nova_libvirt")}),
    ),
    "nova-service-frozen": MadeFault(
        CONTROL,
        _freeze("nova_scheduler", "STOP"),
        _freeze("nova_scheduler", "CONT"),
        frozenset({("preflight.nova-service", CONTROL, "nova")}),
        settles_s=80,
    ),
    "agent-frozen": MadeFault(
        COMPUTE_1,
        _freeze("ovn_controller", "STOP"),
        _freeze("ovn_controller", "CONT"),
        frozenset({("preflight.neutron-agent", COMPUTE_1, "neutron")}),
        settles_s=90,
    ),
}
