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
    # Counts how often something came later than it should, and keeps the last of them: [when it began, length].
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
        "ask_ms": META_MS, "asks": {name: ask.told() for name, ask in asks.items()},
    }).encode() + b"\n"
class Peer:
    # Another canary of the same network. Before its first answer it may still be booting: no gap.
    def __init__(self, name, address):
        self.name, self.address, self.sent, self.answered, self.last, self.gaps = name, address, 0, 0, None, Delays(GAP_MS)
        self.mark, self.there, self.back = None, 0, 0
    def counted(self, number, count):
        # The peer's count of our questions says which way those went that it did not answer.
        if self.mark and number < self.mark[0]:
            self.back = max(0, self.back - 1)
            return
        if self.mark and count > self.mark[1]:
            self.there += max(0, number - self.mark[0] - count + self.mark[1])
            self.back += count - self.mark[1] - 1
        self.mark = number, count
    def told(self):
        return {"name": self.name, "address": self.address, "sent": self.sent, "answered": self.answered,
            "lost_there": self.there, "lost_back": self.back,
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
        key = (address, int.from_bytes(data[:8], "big"))
        if key in open_:
            open_.remove(key)
            peer, now = by_address[address], time.monotonic()
            peer.answered += 1
            if peer.last:
                peer.gaps.seen(peer.last, max(0, (now - peer.last) * 1000 - PEER_MS))
            peer.last = now
            if len(data) == 16:
                peer.counted(key[1], int.from_bytes(data[8:], "big"))
class Asked:
    # Something asked again and again. What failed in a row is a run: [last good, first bad, last bad, first good, how
    # many], by this guest's clock. Before the first good answer nothing was there that could be lost.
    def __init__(self):
        self.asked, self.ok, self.runs, self.longest_ms, self.last, self.run, self.good, self.what = 0, 0, 0, 0, [], None, -1, ""
    def seen(self, began, good):
        self.asked += 1
        now = time.monotonic()
        if good:
            self.ok += 1
            self.longest_ms = max(self.longest_ms, (now - began) * 1000)
            if self.run:
                self.runs += 1
                self.run[3] = now
                self.last = self.last[1 - KEEP // 2:] + [self.run]
            self.good, self.run = began, None
        elif self.good >= 0:
            self.run = self.run or [self.good, began, 0, -1, 0]
            self.run[2] = began
            self.run[4] += 1
    def told(self):
        return {"asked": self.asked, "ok": self.ok, "runs": self.runs, "answer_longest_ms": self.longest_ms,
            "windows": self.last, "open": self.run or [], "what": self.what}
def ask_metadata(asked):
    asked.what = "http://169.254.169.254/openstack/latest/meta_data.json"
    with socket.create_connection(("169.254.169.254", 80), 5) as service:
        service.sendall(b"GET /openstack/latest/meta_data.json HTTP/1.0\r\nHost: 169.254.169.254\r\n\r\n")
        answer = b""
        while len(answer) < 65536:
            data = service.recv(8192)
            if not data:
                break
            answer += data
    return answer[9:12] == b"200" and b'"uuid"' in answer
def ask_dns(asked):
    # The resolver that DHCP gave, not a cache in this guest. That there is no such name is an answer, too.
    lines = (text("/run/systemd/resolve/resolv.conf") or text("/etc/resolv.conf")).splitlines()
    words = [line.split() for line in lines if len(line.split()) > 1]
    servers = [word[1] for word in words if word[0] == "nameserver" and word[1][:4] != "127."]
    if not servers:
        asked.what = ""
        return None
    names = socket.gethostname().split(".") + [part for word in words if word[0] == "search" for part in word[1].split(".")]
    labels = [part.encode()[:63] for part in names if part]
    asked.what = b".".join(labels).decode() + " at " + servers[0]
    question = os.urandom(2) + b"\1\0\0\1\0\0\0\0\0\0"
    question += b"".join(bytes([len(label)]) + label for label in labels) + b"\0\0\1\0\1"
    with socket.socket(socket.AF_INET6 if ":" in servers[0] else socket.AF_INET, socket.SOCK_DGRAM) as talk:
        talk.connect((servers[0], 53))
        talk.settimeout(5)
        talk.send(question)
        answer = talk.recv(2048)
    return len(answer) > 11 and answer[:2] == question[:2] and answer[2] > 127 and answer[3] & 15 in (0, 3)
def ask(asked, how):
    while True:
        began = time.monotonic()
        try:
            good = how(asked)
        except OSError:
            good = False
        if good is not None:
            asked.seen(began, good)
        time.sleep(max(0.1, META_MS / 1000 - time.monotonic() + began))
peers, asks = [Peer(*words) for words in PEERS], {"metadata": Asked(), "dns": Asked()}
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
    counts = {}
    def echo_datagram(server):
        # The count of what arrived goes back with it: who asks knows then which way the rest was lost.
        data, sender = server.recvfrom(2048)
        counts[sender] = count = counts.pop(sender, 0) + 1
        if len(counts) > 200:
            del counts[next(iter(counts))]
        data += count.to_bytes(8, "big") if len(data) == 8 else b"%d" % count if data[-1:] == b" " else b""
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
for work in [heartbeat, writes] + [ask_peers] * bool(peers):
    threading.Thread(target=work, daemon=True).start()
for name, how in [("metadata", ask_metadata), ("dns", ask_dns)] * bool(META_MS):
    threading.Thread(target=ask, args=(asks[name], how), daemon=True).start()
serve()
