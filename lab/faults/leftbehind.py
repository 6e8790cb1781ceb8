"""What an operator or a colleague leaves behind on a node, and what a cloud suffers by itself: a shell script each, and its end."""

from __future__ import annotations

from lab import layout
from lab.faults.table import Red
from lab.faults.table import script

_MANAGER, _CONTROL = layout.MANAGER.name, layout.CONTROL.name
_COMPUTE_0, _COMPUTE_1 = (node.name for node in layout.COMPUTES)
_REFERENCE = "$(docker inspect -f '{{.Config.Image}}' %s)"
_OPENSTACK = "openstack --os-cloud admin"
_SERVICE_SET = f"{_OPENSTACK} compute service set"
_REDIS = "docker exec manager-redis-1 redis-cli --raw"
_SOCKET = "/proc/$(docker inspect -f '{{.State.Pid}}' haproxy)/root/var/lib/kolla/haproxy/haproxy.sock"


def _freeze(container: str, signal: str) -> str:
    """Stop or continue the container's own processes; a guest of nova_libvirt is none of them."""
    return f"docker top {container} -eo pid,comm | awk 'NR > 1 && $2 !~ /qemu/ {{print $1}}' | xargs kill -{signal}"


_RECREATE_CRON = (
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


script(
    "lock-file",
    "A `.lock` file is left in the configuration repository: OSISM's run scripts refuse to work.",
    _MANAGER,
    break_="touch /opt/configuration/environments/.lock",
    mend="rm -f /opt/configuration/environments/.lock",
    reds=[Red("preflight.lock-file", of="osism")],
)
script(
    "task-lock",
    "A colleague has locked OSISM's tasks.",
    _MANAGER,
    break_="osism lock --user colleague --reason maintenance",
    mend="osism unlock",
    reds=[Red("preflight.task-lock", of="osism")],
)
script(
    "facts-stale",
    "The cached facts of one host are years old.",
    _MANAGER,
    break_=(
        f'key=$({_REDIS} zrange ansible_cache_keys 0 -1 | grep {_COMPUTE_1}); {_REDIS} zscore ansible_cache_keys "$key" > /tmp/score;'
        f' {_REDIS} zadd ansible_cache_keys 1700000000 "$key"'
    ),
    mend=f'key=$({_REDIS} zrange ansible_cache_keys 0 -1 | grep {_COMPUTE_1}); {_REDIS} zadd ansible_cache_keys $(cat /tmp/score) "$key"',
    reds=[Red("preflight.facts-fresh", _COMPUTE_1, "osism")],
)
script(
    "disk-full",
    "The file system of a host's logs is small and full.",
    _COMPUTE_0,
    break_="mount -t tmpfs -o size=64m full /var/log",
    mend="umount /var/log",
    reds=[Red("preflight.disk-space", _COMPUTE_0)],
)
script(
    "container-unexpected",
    "A container of a service that is switched off runs on a compute node.",
    _COMPUTE_1,
    break_=f"docker run -d --name heat_api --network host -v /usr:/usr:ro --entrypoint /usr/bin/sleep {_REFERENCE % 'cron'} 3600",
    mend="docker rm -f heat_api",
    reds=[Red("preflight.container-unexpected", _COMPUTE_1, "heat_api")],
)
script(
    "tag-moved",
    "A tag points to another image than the one that its container runs, as after a pull.",
    _CONTROL,
    break_=f"docker tag {_REFERENCE % 'cron'} {_REFERENCE % 'memcached'}",
    mend=f"docker tag $(docker inspect -f '{{{{.Image}}}}' memcached) {_REFERENCE % 'memcached'}",
    reds=[Red("preflight.container-image", _CONTROL, "memcached")],
)
script(
    "image-missing",
    "The image of a container is no longer on its host; only the container still holds it.",
    _COMPUTE_0,
    break_=f"docker rmi -f {_REFERENCE % 'cron'}",
    mend=f"docker tag $(docker inspect -f '{{{{.Image}}}}' cron) {_REFERENCE % 'cron'}",
    reds=[Red("preflight.target-image", _COMPUTE_0, "cron"), Red("inflight.pulled-image", _COMPUTE_0, "cron")],
)
script(
    "server-in-maintenance",
    "A server of the load balancer was put into maintenance and forgotten.",
    _CONTROL,
    break_=f"echo 'set server nova_novncproxy_back/{_CONTROL} state maint' | socat - UNIX-CONNECT:{_SOCKET}",
    mend=f"echo 'set server nova_novncproxy_back/{_CONTROL} state ready' | socat - UNIX-CONNECT:{_SOCKET}",
    reds=[Red("preflight.haproxy-servers", _CONTROL, "haproxy")],
)
script(
    "image-of-other-release",
    "The image behind the right tag says that it belongs to another release.",
    _COMPUTE_1,
    break_=(
        f"ref={_REFERENCE % 'cron'}; docker tag $ref kept:cron; "
        "docker commit --change 'LABEL de.osism.release.openstack=2023.2' cron $ref; " + _RECREATE_CRON
    ),
    mend=f"ref={_REFERENCE % 'cron'}; docker tag kept:cron $ref; " + _RECREATE_CRON,
    reds=[Red("preflight.container-release", _COMPUTE_1, "cron")],
)
script(
    "compute-disabled",
    "One compute node takes no servers: those of the other have nowhere to go.",
    _MANAGER,
    break_=f"osism manage compute disable {_COMPUTE_0}",
    mend=f"osism manage compute enable {_COMPUTE_0}",
    reds=[Red("preflight.compute-capacity", _COMPUTE_1, "nova")],
)
script(
    "compute-withdrew",
    "Nova-compute has taken itself out of service, as when it loses libvirt. It comes back only when it notices that the connection is new.",
    _MANAGER,
    break_=f"{_SERVICE_SET} --disable --disable-reason 'AUTO: Connection to libvirt lost: 1' {_COMPUTE_1} nova-compute",
    mend=f"{_SERVICE_SET} --enable {_COMPUTE_1} nova-compute",
    reds=[Red("preflight.nova-service", _COMPUTE_1, "nova_compute")],
)
script(
    "certificate-expiring",
    "HAProxy shows a certificate that ends in three days.",
    _CONTROL,
    break_=(
        f"S={_SOCKET}; cd {_PKI}; openssl x509 -req -in vip.csr -CA ca.pem -CAkey ca-key.pem -set_serial 99 -days 3 "
        "-extfile vip.ext -out /run/short.crt; cat /run/short.crt vip-key.pem > /run/short.pem; "
        + _show_certificate("/run/short.pem")
    ),
    mend=f"S={_SOCKET}; {_show_certificate(_PKI + '/vip.pem')}",
    reds=[Red("preflight.certificate", of="loadbalancer")],
)
script(
    "libvirtd-hung",
    "Libvirtd of a compute node listens and says nothing.",
    _COMPUTE_1,
    break_=_freeze("nova_libvirt", "STOP"),
    mend=_freeze("nova_libvirt", "CONT"),
    reds=[Red("preflight.libvirt-answers", _COMPUTE_1, "nova_libvirt")],
)
script(
    "nova-service-frozen",
    "A nova service's processes stand still: it no longer reports itself.",
    _CONTROL,
    break_=_freeze("nova_scheduler", "STOP"),
    mend=_freeze("nova_scheduler", "CONT"),
    reds=[Red("preflight.nova-service", _CONTROL, "nova_scheduler")],
    settles_s=80,
)
script(
    "agent-frozen",
    "The ovn-controller of a compute node stands still.",
    _COMPUTE_1,
    break_=_freeze("ovn_controller", "STOP"),
    mend=_freeze("ovn_controller", "CONT"),
    # To neutron the metadata agent of a node is no more alive than the node's ovn-controller.
    reds=[
        Red("preflight.neutron-agent", _COMPUTE_1, agent) for agent in ("ovn_controller", "neutron_ovn_metadata_agent")
    ],
    # Neutron asks OVN's agents only when somebody lists them, at most every 37 s, and forgives the first question that
    # nobody answers; an agent that owes two answers is dead 75 s after its last one.
    settles_s=160,
    ask="openstack --os-cloud admin network agent list",
)
script(
    "network-renamed",
    "A network has another name than before: who looks for it by name does not find it.",
    _MANAGER,
    break_=f"{_OPENSTACK} network set --name renamed public",
    mend=f"{_OPENSTACK} network set --name public renamed",
    reds=[Red("postflight.nothing-lost", of="neutron")],
)
script(
    "container-restarted",
    "A container that should not be touched was restarted. What was restarted stays restarted.",
    _COMPUTE_0,
    break_="docker restart -t 1 cron",
    mend="true",
    reds=[Red("inflight.others-untouched", _COMPUTE_0, "cron")],
)
script(
    "service-frozen",
    "An API's processes stand still: requests wait, and are answered when it goes on.",
    _CONTROL,
    break_="docker kill -s STOP glance_api; kill -STOP $(docker top glance_api -eo pid | tail -n +2)",
    mend="kill -CONT $(docker top glance_api -eo pid | tail -n +2); docker kill -s CONT glance_api",
    reds=[Red("inflight.slow-answers", of="glance")],
)
