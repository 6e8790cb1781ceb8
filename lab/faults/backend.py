"""Faults behind the VIP: a service that answers 503 to everybody but the load balancer's health check."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from lab import layout
from lab.faults.ground import FaultError
from lab.faults.ground import Ground
from lab.faults.table import Red
from lab.faults.table import fault
from lab.faults.table import mends

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Answers like a service in maintenance on a port of its own, to which the kernel sends the service's packets.
_SERVER = r"""
import http.server, os, socketserver, sys
port, pid_file = int(sys.argv[1]), sys.argv[2]
class Maintenance(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "maintenance"
    sys_version = ""
    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        # HAProxy's health check (it sends no User-Agent) is content: the server stays in its pool.
        check = self.headers.get("User-Agent") is None and self.path in {"/", "/healthcheck", "/vnc_lite.html"}
        body = b"ok" if check else b"The service is in maintenance."
        self.send_response(200 if check else 503)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = True
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer
    def log_message(self, *_): pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True
with Server(("0.0.0.0", port), Maintenance) as server:
    open(pid_file, "w").write(str(os.getpid()))
    server.serve_forever()
"""

_SOURCE = r"""
import json, os, signal, socket, subprocess, sys, time
action, seconds, address, port, other = sys.argv[1:6]
server, pid_file = "/run/rehearse-maintenance.py", f"/run/rehearse-maintenance-{port}.pid"
def rules(word):
    match = f"-d {address}/32 -p tcp --dport {port} -m comment --comment rehearse-lab-503 -j REDIRECT --to-ports {other}"
    text = f"*nat\n{word} PREROUTING {match}\n{word} OUTPUT {match}\nCOMMIT\n"
    before = time.monotonic_ns()
    subprocess.run(["iptables-restore", "--noflush"], input=text, text=True, check=True)
    return before
def cut():
    # Kept-alive connections go on to where they began; the load balancer must open new ones.
    subprocess.run(["ss", "-K", "dst", address, "dport", "=", port], capture_output=True)
    subprocess.run(["ss", "-K", "src", address, "sport", "=", other], capture_output=True)
def begin():
    subprocess.Popen([sys.executable, server, other, pid_file], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                     stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection((address, int(other)), 1).close()
            break
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit("the maintenance server did not start")
            time.sleep(0.02)
    before = rules("-I")
    cut()
    return {"before_ns": before, "after_ns": time.monotonic_ns()}
def end():
    before = rules("-D")
    cut()
    after = time.monotonic_ns()
    try:
        os.kill(int(open(pid_file).read()), signal.SIGKILL)
        os.unlink(pid_file)
    except (OSError, ValueError):
        pass
    return {"before_ns": before, "after_ns": after}
answer = {}
if action in {"break", "for"}:
    answer["begin"] = begin()
if action == "for":
    try:
        time.sleep(max(0.0, float(seconds) - (time.monotonic_ns() - answer["begin"]["after_ns"]) / 1e9))
    finally:
        answer["end"] = end()
if action == "mend":
    answer["end"] = end()
print(json.dumps(answer))
"""


@fault(
    "backend-503",
    arguments={"service": "placement_api"},
    exact=True,
    reds=[Red("preflight.api-answers", of="placement")],
)
def maintenance(ground: Ground, given: Mapping[str, str], seconds: float | None = None) -> dict[str, Any]:
    """A service answers 503 to every request although its container is well and HAProxy keeps it in the pool.

    ``service`` is a listener (``placement_api``, ``keystone`` …). The answer comes from the back end, not
    from HAProxy: the difference is what a probe must see.
    """
    port = _port(given["service"])
    if ground.noted("backend-503", given["service"]):
        raise FaultError(f"{given['service']} answers 503 already; mend it first")
    host, address = layout.CONTROL.name, layout.CONTROL.management
    ground.run(host, ["sh", "-c", "cat > /run/rehearse-maintenance.py"], input=_SERVER)
    arguments = ["break" if seconds is None else "for", str(seconds or 0), address, str(port), str(port + 20000)]
    with ground.making("backend-503", given["service"], {"port": port}):
        answer: dict[str, Any] = ground.python(host, _SOURCE, arguments, timeout_s=(seconds or 0) + 30)
    if seconds is not None:
        ground.forget("backend-503", given["service"])
    return {"service": given["service"], "backend": f"{address}:{port}", **answer}


@mends("backend-503")
def maintenance_mended(ground: Ground, given: Mapping[str, str]) -> dict[str, Any] | str:
    """Let the service answer for itself again."""
    port = _port(given["service"])
    if ground.noted("backend-503", given["service"]) is None:
        return f"{given['service']} answers for itself"
    arguments = ["mend", "0", layout.CONTROL.management, str(port), str(port + 20000)]
    answer: dict[str, Any] = ground.python(layout.CONTROL.name, _SOURCE, arguments)
    ground.forget("backend-503", given["service"])
    return {"service": given["service"], **answer}


def _port(service: str) -> int:
    if service not in layout.API_PORTS:
        raise FaultError(f"{service} is no service behind the VIP; there are {', '.join(layout.API_PORTS)}")
    return layout.API_PORTS[service]
