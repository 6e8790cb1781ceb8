"""Faults beside those of `rehearse-lab break`: what an operator or a colleague leaves behind, made on the lab's nodes.

Each is a pair of shell scripts for one node. `reds` is exactly what must turn red in pre-flight: check, host, container or
service. `settles_s`: how long the cloud itself needs until it can know.
"""

from __future__ import annotations

from dataclasses import dataclass

MANAGER, CONTROL, COMPUTE_0, COMPUTE_1 = "lab-manager", "lab-control-0", "lab-compute-0", "lab-compute-1"
_REFERENCE = "$(docker inspect -f '{{.Config.Image}}' %s)"
_SERVICE_SET = "openstack --os-cloud admin compute service set"
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
    ask: str = ""
    """What must be asked of the cloud before it can notice: a command on the manager, after each quarter of `settles_s`."""


def _freeze(container: str, signal: str) -> str:
    """Stop or continue the container's own processes; a guest of nova_libvirt is none of them."""
    return f"docker top {container} -eo pid,comm | awk 'NR > 1 && $2 !~ /qemu/ {{print $1}}' | xargs kill -{signal}"


RECREATE_CRON = (
    "docker inspect cron > /tmp/cron.json; docker stop -t 1 cron; docker rm cron; "
    """eval "$(python3 -c 'import json, shlex
seen = json.load(open("/tmp/cron.json"))[0]
words = ["docker", "run", "--detach", "--name", "cron", "--network", "host", "--restart", "unless-stopped"]
words += [word for bind in seen["HostConfig"]["Binds"] for word in ("--volume", bind)]
words += [word for value in seen["Config"]["Env"] for word in ("--env", value)]
print(shlex.join([*words, seen["Config"]["Image"]]))')\""""
)
"""Start the container cron anew from what its reference stands for now, with the mounts and variables that it has."""

_PKI = "/var/lib/rehearse-lab/pki"


def _show_certificate(pem: str) -> str:
    """Give HAProxy another certificate while it runs, for all its VIPs."""
    return (
        "for file in $(echo 'show ssl cert' | socat - UNIX-CONNECT:$S | grep pem); do "
        f"printf 'set ssl cert %s <<\\n%s\\n\\n' $file \"$(cat {pem})\" | socat - UNIX-CONNECT:$S; "
        'echo "commit ssl cert $file" | socat - UNIX-CONNECT:$S; done'
    )


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
        f"echo 'set server nova_novncproxy_back/{CONTROL} state maint' | socat - UNIX-CONNECT:{_SOCKET}",
        f"echo 'set server nova_novncproxy_back/{CONTROL} state ready' | socat - UNIX-CONNECT:{_SOCKET}",
        frozenset({("preflight.haproxy-servers", CONTROL, "haproxy")}),
    ),
    "image-of-other-release": MadeFault(
        COMPUTE_1,
        f"ref={_REFERENCE % 'cron'}; docker tag $ref kept:cron; "
        "docker commit --change 'LABEL de.osism.release.openstack=2023.2' cron $ref; " + RECREATE_CRON,
        f"ref={_REFERENCE % 'cron'}; docker tag kept:cron $ref; " + RECREATE_CRON,
        frozenset({("preflight.container-release", COMPUTE_1, "cron")}),
    ),
    "compute-disabled": MadeFault(
        MANAGER,
        f"osism manage compute disable {COMPUTE_0}",
        f"osism manage compute enable {COMPUTE_0}",
        frozenset({("preflight.compute-capacity", COMPUTE_1, "nova")}),
    ),
    # What nova-compute does to itself when it loses libvirt. It comes back only when it notices that the connection is new.
    "compute-withdrew": MadeFault(
        MANAGER,
        f"{_SERVICE_SET} --disable --disable-reason 'AUTO: Connection to libvirt lost: 1' {COMPUTE_1} nova-compute",
        f"{_SERVICE_SET} --enable {COMPUTE_1} nova-compute",
        frozenset({("preflight.nova-service", COMPUTE_1, "nova_compute")}),
    ),
    "certificate-expiring": MadeFault(
        CONTROL,
        f"S={_SOCKET}; cd {_PKI}; openssl x509 -req -in vip.csr -CA ca.pem -CAkey ca-key.pem -set_serial 99 -days 3 "
        "-extfile vip.ext -out /tmp/short.crt; cat /tmp/short.crt vip-key.pem > /tmp/short.pem; "
        + _show_certificate("/tmp/short.pem"),
        f"S={_SOCKET}; {_show_certificate(_PKI + '/vip.pem')}",
        frozenset({("preflight.certificate", "", "loadbalancer")}),
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
        frozenset({("preflight.nova-service", CONTROL, "nova_scheduler")}),
        settles_s=80,
    ),
    "agent-frozen": MadeFault(
        COMPUTE_1,
        _freeze("ovn_controller", "STOP"),
        _freeze("ovn_controller", "CONT"),
        # To neutron the metadata agent of a node is no more alive than the node's ovn-controller.
        frozenset(
            ("preflight.neutron-agent", COMPUTE_1, agent) for agent in ("ovn_controller", "neutron_ovn_metadata_agent")
        ),
        # Neutron asks OVN's agents only when somebody lists them, at most every 37 s, and forgives the first question that
        # nobody answers; an agent that owes two answers is dead 75 s after its last one.
        settles_s=160,
        ask="openstack --os-cloud admin network agent list",
    ),
}
