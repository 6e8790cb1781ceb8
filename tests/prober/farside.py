"""A far side for the prober's tests: a loopback server that answers, stalls, resets or lies as a test tells it."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import socket
import ssl
import struct
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOVA_ROOT = json.dumps({"version": {"id": "v2.1", "status": "CURRENT"}})
HAPROXY_503 = (
    "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 107\r\ncache-control: no-cache\r\ncontent-type: text/html\r\n\r\n"
    "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n"
)


def answer(status=200, body=NOVA_ROOT, **headers):
    """Return the bytes of an answer; header names are written with underscores."""
    headers = {"content_type": "application/json", **headers}
    lines = [f"HTTP/1.1 {status} whatever", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return ("\r\n".join([*lines, f"content-length: {len(body.encode())}", "", ""]) + body).encode()


def reset(connection):
    """Close with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class FarSide:
    """Calls `behave(connection, nth)` for the nth request of each connection; bytes that it returns are sent.

    Returning None closes the connection. `requests` holds every request head ever received, with its moment.
    """

    def __init__(self, behave=None, *, tls=None, on_accept=None):
        self.requests = []
        self.moments = []
        self.connections = 0
        self.behave = behave or (lambda connection, nth: answer())
        self._on_accept = on_accept
        self._tls = tls
        self._open = True
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"{'https' if self._tls else 'http'}://{'api.example.test' if self._tls else '127.0.0.1'}:{self.port}"

    def close(self):
        self._open = False
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while self._open:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError):
            try:
                if self._on_accept is not None and self._on_accept(connection):
                    return
                if self._tls is not None:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                nth = 0
                while head := self._heard(connection):
                    self.requests.append(head)
                    self.moments.append(time.monotonic_ns())
                    reply = self.behave(connection, nth)
                    nth += 1
                    if reply is None:
                        return
                    connection.sendall(reply)
            finally:
                connection.close()

    def _heard(self, connection):
        head = b""
        while b"\r\n\r\n" not in head:
            data = connection.recv(65536)
            if not data:
                return b""
            head += data
        return head


class Echo:
    """A TCP server that sends back what it gets, as a canary's beacon does."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.connections = []
        self.mute = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset_all()

    def reset_all(self):
        while self.connections:
            with contextlib.suppress(OSError):
                reset(self.connections.pop())

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError):
            try:
                while data := connection.recv(65536):
                    while self.mute:
                        time.sleep(0.01)
                    connection.sendall(data)
            finally:
                connection.close()


def certificates(folder, *, names=("api.example.test",), days=1):
    """Make a CA and a server certificate; return (path of the CA, path of key and certificate)."""
    now = dt.datetime.now(dt.UTC)

    def made(subject, issuer, key, signing_key, extensions):
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=2))
            .not_valid_after(now + dt.timedelta(days=days))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(signing_key, hashes.SHA256())

    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = made(name("test ca"), name("test ca"), ca_key, ca_key, [(x509.BasicConstraints(True, None), True)])
    alternatives = [*(x509.DNSName(text) for text in names), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    leaf = made(name("server"), name("test ca"), key, ca_key, [(x509.SubjectAlternativeName(alternatives), False)])
    pem = serialization.Encoding.PEM
    ca_path, server_path = folder / "ca.pem", folder / "server.pem"
    ca_path.write_bytes(ca.public_bytes(pem))
    server_path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()) + leaf.public_bytes(pem)
    )
    return ca_path, server_path


def server_terms(server_path):
    """Return the server's side of TLS."""
    terms = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    terms.load_cert_chain(server_path)
    terms.set_alpn_protocols(["h2", "http/1.1"])
    return terms
