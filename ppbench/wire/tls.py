"""TLS 1.3 beneath a connection, for those who want what a scheme sends kept from the network too (`remote.tls=true`).

It adds secrecy to what `authentication` gives, also against who learns the token later. Who listens shows a certificate
that nobody has vouched for; both ends put its digest into the transcript of their handshake (the channel binding
`tls-server-end-point`, RFC 5929), so who has another certificate, and so another key, fails there. Nothing but the
handshake is said before.

What TLS adds is counted apart: the kernel's count of the connection, less what was given to TLS.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import re
import socket
import ssl
from pathlib import Path
from typing import Any

from ppbench.errors import ConfigError

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_LIFE = datetime.timedelta(days=3650)
_RECORD_HEAD_BYTES = 5
_ENCRYPTED_AT_ONCE_BYTES = 1 << 18


class TlsSocket(socket.socket):
    """A connected socket whose bytes are encrypted; it takes the place of the plain one."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_side: bool) -> None:
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.setblocking(True)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self._is_established = False
        self._unsent = memoryview(b"")
        self._taken = 0
        """So many bytes of the data in hand are encrypted and not all sent yet."""
        self._record = b""

    @property
    def holds_back(self) -> bool:
        """Whether a reader gets something of which poll knows nothing, because it is decrypted already."""
        return self._tls.pending() > 0

    def certificate_digest(self) -> bytes:
        """SHA-256 of the certificate that the listener has shown."""
        return hashlib.sha256(self._tls.getpeercert(binary_form=True) or b"").digest()

    def send(self, data: Any, flags: int = 0, /) -> int:
        """As a socket's; raises BlockingIOError where it has to be tried again with the same data."""
        self._establish(flags)
        if not self._taken:
            self._taken = self._tls.write(memoryview(data)[:_ENCRYPTED_AT_ONCE_BYTES])
        self._flush(flags)
        taken, self._taken = self._taken, 0
        return taken

    def sendmsg(self, buffers: Any, ancdata: Any = (), flags: int = 0, address: Any = None, /) -> int:
        """As a socket's: some of the first bytes."""
        return self.send(next(iter(buffers)), flags)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As a socket's."""
        buffer = bytearray(bufsize)
        return bytes(buffer[: self.recv_into(buffer, 0, flags)])

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0, /) -> int:
        """As a socket's, but that a connection may end without a goodbye: a frame that lacks its end is noticed."""
        self._establish(flags)
        while True:
            try:
                n_read: Any = self._tls.read(len(buffer), buffer)
                return int(n_read)
            except ssl.SSLWantReadError:
                self._hear(flags)
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return 0

    def _establish(self, flags: int) -> None:
        while not self._is_established:
            try:
                self._tls.do_handshake()
                self._is_established = True
                self._flush(flags)
            except ssl.SSLWantReadError:
                self._flush(flags)
                self._hear(flags)

    def _flush(self, flags: int) -> None:
        while self._unsent or self._outgoing.pending:
            if not self._unsent:
                self._unsent = memoryview(self._outgoing.read())
            self._unsent = self._unsent[super().send(self._unsent, flags) :]

    def _hear(self, flags: int) -> None:
        """One record more, and nothing of the next: what has been read is out of poll's sight."""
        flags &= ~int(socket.MSG_WAITALL)
        while True:
            size = _RECORD_HEAD_BYTES
            if len(self._record) >= size:
                size += int.from_bytes(self._record[3:size], "big")
            if len(self._record) == size > _RECORD_HEAD_BYTES:
                break
            part = super().recv(size - len(self._record), flags)
            if not part:
                self._incoming.write_eof()
                return
            self._record += part
        self._incoming.write(self._record)
        self._record = b""


class Encryption:
    """What who connects needs."""

    def __init__(self) -> None:
        # Which certificate is the right one both ends tell from the handshake's transcript.
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3

    def connecting(self, sock: socket.socket) -> TlsSocket:
        """A connected socket, encrypted."""
        return TlsSocket(sock, self._context, server_side=False)


class Certificate:
    """What who listens needs: a certificate with its key, in one file."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError if the file holds none."""
        self.path = path
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context.num_tickets = 0
        try:
            self._context.load_cert_chain(path)
            found = _CERTIFICATE.search(path.read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} holds no certificate with its unencrypted key, as PEM: {error}") from error
        assert found is not None, "OpenSSL has read one"
        self.digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(found[0])).digest()

    def listening(self, sock: socket.socket) -> TlsSocket:
        """A connected socket, encrypted."""
        return TlsSocket(sock, self._context, server_side=True)


def make_certificate(path: Path) -> None:
    """Write a new key and a certificate that it signs itself, readable by the owner alone. Raises ConfigError."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise ConfigError(
            "remote.tls=true makes a certificate with what is not installed: pip install 'cryptography>=42', "
            "or name a file with a certificate and its key: remote.certificate=FILE"
        ) from None
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ppbench")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - _LIFE, now + _LIFE)
    ).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(private + certificate.public_bytes(serialization.Encoding.PEM))
