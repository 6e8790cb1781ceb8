# Beacon of a canary: echoes TCP and UDP, watches itself, tells what it saw to whoever connects.
# Travels as user data, so it is short; runs on any Python from 3.7 on, also without most of the standard library.
# mypy: ignore-errors
# fmt: off
import array, os, selectors, socket, sys, threading, time
try:
    from hashlib import sha256
except ImportError:
    from _sha256 import sha256
HOME = sys.argv[1]
ECHO, FACTS, BEAT_MS, WRITE_MS, PAUSE_MS, STALL_MS, PEER_MS, GAP_MS, META_MS = (int(word) for word in sys.argv[2:11])
PEERS = [word.split("=") for word in sys.argv[11:]]
BLOCK, KEEP = 4096, 40
DATA, SUM, SCRATCH = HOME + "/data", HOME + "/data.sha256", HOME + "/scratch"
def text(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""
class Delays:
    """Counts how often something came later than it should, and keeps the last of them: [when it began, length]."""
    def __init__(self, limit_ms):
        self.limit_ms, self.count, self.late, self.total_ms, self.longest_ms, self.last = limit_ms, 0, 0, 0, 0, []
    def seen(self, began_s, length_ms):
        self.count += 1
        self.longest_ms = max(self.longest_ms, length_ms)
        if length_ms >= self.limit_ms:
            self.late += 1
            self.total_ms += length_ms
            self.last = self.last[1 - KEEP:] + [[round(began_s, 3), round(length_ms)]]
pauses, stalls = Delays(PAUSE_MS), Delays(STALL_MS)
trouble = {"write_errors": 0, "direct": True, "message": ""}
def heartbeat():
    before = time.monotonic()
    while True:
        time.sleep(BEAT_MS / 1000)
        now = time.monotonic()
        pauses.seen(before, max(0, (now - before) * 1000 - BEAT_MS))
        before = now
def aligned(size):
    raw = array.array("B", bytes(size + BLOCK))
    skip = -raw.buffer_info()[0] % BLOCK
    return memoryview(raw)[skip:skip + size]
def opened(path, flags):
    # O_DIRECT goes past the page cache: the disk itself must answer. Not every file system has it.
    try:
        return os.open(path, flags | os.O_DIRECT, 0o600)
    except OSError:
        trouble["direct"] = False
        return os.open(path, flags | os.O_SYNC, 0o600)
def writes():
    block, file, number = aligned(BLOCK), -1, 0
    while True:
        number += 1
        block[:8] = number.to_bytes(8, "big")
        began = time.monotonic()
        try:
            if file < 0:
                file = opened(SCRATCH, os.O_WRONLY | os.O_CREAT)
            os.pwrite(file, block, 0)
        except OSError as error:
            trouble["write_errors"] += 1
            trouble["message"] = error.strerror or "write failed"
        took_ms = (time.monotonic() - began) * 1000
        stalls.seen(began, took_ms)
        time.sleep(max(1, WRITE_MS - took_ms) / 1000)
def checksum():
    # Read from the disk, not from memory.
    size, file = os.path.getsize(DATA), opened(DATA, os.O_RDONLY)
    try:
        block, digest, at = aligned(65536), sha256(), 0
        while at < size:
            got = os.preadv(file, [block], at)
            if got <= 0:
                break
            digest.update(block[:got])
            at += got
        return digest.hexdigest()
    finally:
        os.close(file)
def dump(value):
    if isinstance(value, dict):
        return "{" + ",".join('"%s":%s' % (key, dump(item)) for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(dump(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(c for c in value if c.isprintable() and c not in '"\\') + '"'
    return repr(round(value, 3) if isinstance(value, float) else value)
def facts():
    try:
        found, failed = checksum(), ""
    except OSError as error:
        found, failed = "", error.strerror or "read failed"
    return dump({
        "beacon": 1, "kind": "python", "boot_id": text("/proc/sys/kernel/random/boot_id"),
        "uptime_s": time.clock_gettime(time.CLOCK_BOOTTIME), "hostname": socket.gethostname(),
        "boots": int(text(HOME + "/boots") or 0), "udp": True,
        "beat_ms": BEAT_MS, "beats": pauses.count, "pause_limit_ms": PAUSE_MS, "pauses": pauses.late,
        "pause_total_ms": pauses.total_ms, "pause_longest_ms": pauses.longest_ms, "pause_list": pauses.last,
        "write_ms": WRITE_MS, "writes": stalls.count, "write_errors": trouble["write_errors"],
        "stall_limit_ms": STALL_MS, "stalls": stalls.late, "stall_total_ms": stalls.total_ms,
        "stall_longest_ms": stalls.longest_ms, "stall_list": stalls.last, "direct": trouble["direct"],
        "file_sha256": found, "file_sha256_made": text(SUM), "message": failed or trouble["message"],
        "peer_ms": PEER_MS, "gap_limit_ms": GAP_MS, "peers": [peer.told() for peer in peers],
        "metadata_asked": metadata["asked"], "metadata_ok": metadata["ok"], "metadata_slow": waits.late,
        "metadata_longest_ms": waits.longest_ms, "metadata_slow_list": waits.last,
    }).encode() + b"\n"
class Peer:
    # Another canary of the same network. Before its first answer it may still be booting: no gap.
    def __init__(self, name, address):
        self.name, self.address, self.sent, self.answered, self.last, self.gaps = name, address, 0, 0, None, Delays(GAP_MS)
    def told(self):
        return {"name": self.name, "address": self.address, "sent": self.sent, "answered": self.answered,
            "silent_ms": (time.monotonic() - self.last) * 1000 if self.last else -1.0, "gaps": self.gaps.late,
            "gap_longest_ms": self.gaps.longest_ms, "gap_total_ms": self.gaps.total_ms, "gap_list": self.gaps.last}
def ask_peers():
    # A fixed schedule, whatever became of earlier questions; an answer counts once, by address and number.
    talk, due, open_ = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), time.monotonic(), set()
    by_address = {peer.address: peer for peer in peers}
    while True:
        now = time.monotonic()
        if now >= due:
            due += PEER_MS / 1000 * (1 + int((now - due) * 1000 / PEER_MS))
            for peer in peers:
                peer.sent += 1
                open_.add((peer.address, peer.sent))
                open_.discard((peer.address, peer.sent - 50))
                try:
                    talk.sendto(peer.sent.to_bytes(8, "big"), (peer.address, ECHO))
                except OSError:
                    pass
        try:
            talk.settimeout(max(0.001, due - time.monotonic()))
            data, (address, _) = talk.recvfrom(64)
        except OSError:
            continue
        key = (address, int.from_bytes(data, "big"))
        if key in open_:
            open_.remove(key)
            peer, now = by_address[address], time.monotonic()
            peer.answered += 1
            if peer.last:
                peer.gaps.seen(peer.last, max(0, (now - peer.last) * 1000 - PEER_MS))
            peer.last = now
def ask_metadata():
    while True:
        began = time.monotonic()
        try:
            with socket.create_connection(("169.254.169.254", 80), 5) as service:
                service.settimeout(5)
                service.sendall(b"GET /openstack HTTP/1.0\r\nHost: 169.254.169.254\r\n\r\n")
                metadata["ok"] += service.recv(64).startswith((b"HTTP/1.0 200", b"HTTP/1.1 200"))
        except OSError:
            pass
        metadata["asked"] += 1
        waits.seen(began, (time.monotonic() - began) * 1000)
        time.sleep(META_MS / 1000)
peers, waits, metadata = [Peer(*words) for words in PEERS], Delays(1000), {"asked": 0, "ok": 0}
def listener(port, kind=socket.SOCK_STREAM):
    try:
        made = socket.socket(socket.AF_INET6, kind)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        address = "::"
    except OSError:
        made, address = socket.socket(socket.AF_INET, kind), "0.0.0.0"
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    if kind == socket.SOCK_STREAM:
        made.listen(64)
    made.setblocking(False)
    return made
def tell(client):
    try:
        client.settimeout(10)
        client.sendall(facts())
    except OSError:
        pass
    finally:
        client.close()
def serve():
    watched = selectors.DefaultSelector()
    def accept_echo(server):
        client = server.accept()[0]
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        watched.register(client, selectors.EVENT_READ, echo)
    def echo(client):
        # Probes send little and read everything: who does not read is dropped, the others must not wait for him.
        try:
            data = client.recv(16384)
            alive = data and client.send(data) == len(data)
        except OSError:
            alive = False
        if not alive:
            watched.unregister(client)
            client.close()
    def echo_datagram(server):
        data, sender = server.recvfrom(2048)
        server.sendto(data, sender)
    def accept_facts(server):
        threading.Thread(target=tell, args=(server.accept()[0],), daemon=True).start()
    watched.register(listener(ECHO), selectors.EVENT_READ, accept_echo)
    watched.register(listener(ECHO, socket.SOCK_DGRAM), selectors.EVENT_READ, echo_datagram)
    watched.register(listener(FACTS), selectors.EVENT_READ, accept_facts)
    while True:
        for key, _ in watched.select():
            try:
                key.data(key.fileobj)
            except OSError:
                pass
for work in [heartbeat, writes] + [ask_peers] * bool(peers) + [ask_metadata] * bool(META_MS):
    threading.Thread(target=work, daemon=True).start()
serve()
