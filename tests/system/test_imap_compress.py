"""COMPRESS=DEFLATE (RFC 4978): offered only where it is configured."""
import random
import zlib

import pytest
from test_imap_basics import put
from wire import Imap

SERVER = {"imap": {"compress": True}}


class Deflated(Imap):
    """An IMAP client that compresses after compress()."""

    packer = unpacker = None
    received = unpacked = 0

    def compress(self, window=15):
        answer = self.cmd("COMPRESS DEFLATE")
        assert answer.status == "OK" and not self.buffer, answer
        self.packer, self.unpacker = zlib.compressobj(6, zlib.DEFLATED, -window), zlib.decompressobj(-15)

    def send(self, data):
        data = data if isinstance(data, bytes) else data.encode()
        if self.packer:
            data = self.packer.compress(data) + self.packer.flush(zlib.Z_SYNC_FLUSH)
        self.sock.sendall(data)

    def _more(self):
        if not self.unpacker:
            return super()._more()
        data = self.sock.recv(65536)
        if not data:
            raise EOFError("the server closed the connection")
        self.received += len(data)
        data = self.unpacker.decompress(data)
        self.unpacked += len(data)
        self.buffer += data


@pytest.fixture
def client(server, user):
    made = []

    def connect(listener="imap"):
        client = Deflated(server.ports[listener], tls=listener == "imaps")
        made.append(client)
        assert "COMPRESS=DEFLATE" in client.login(user.address, user.password).text
        return client

    yield connect
    for one in made:
        one.close()


@pytest.mark.parametrize("listener", ["imap", "imaps"])
def test_a_session_goes_on_compressed(client, listener):
    deflated, plain = client(listener), client()
    deflated.compress()
    assert deflated.cmd("COMPRESS DEFLATE").text.startswith("[COMPRESSIONACTIVE]")
    put(deflated, 30)
    deflated.ok("SELECT INBOX")
    for number in range(3):
        answer = deflated.ok("FETCH 1:* (UID FLAGS ENVELOPE)")
        assert len(answer.all(rb"^\* \d+ FETCH")) == 30
    assert deflated.received * 4 < deflated.unpacked, "what repeats itself is small"
    deflated.send(b"i IDLE\r\n")
    assert deflated.response().startswith(b"+")
    put(plain, 1)
    assert deflated.response() == b"* 31 EXISTS", "flushed at once"
    deflated.response()
    deflated.send(b"DONE\r\n")
    assert deflated.until(b"i").status == "OK"
    deflated.send(b"".join(b"p%d NOOP\r\n" % n for n in range(500)))
    assert all(deflated.until(b"p%d" % n).status == "OK" for n in range(500))
    assert deflated.ok("LOGOUT").untagged[0].startswith(b"* BYE")
    assert deflated.at_end() == b""


def test_bodies_of_any_kind(client):
    deflated = client()
    deflated.compress(window=9)
    head = b"Subject: x\r\nContent-Type: application/octet-stream\r\n\r\n"
    noise = head + b"\r\n".join(random.Random(7).randbytes(400).hex().encode() for _ in range(3000)) + b"\r\n"
    plain = head + b"the same line again and again\r\n" * 60000
    for message in (noise, plain):
        assert deflated.append("INBOX", message).status == "OK"
    deflated.ok("SELECT INBOX")
    for number, message in ((1, noise), (2, plain)):
        assert message in deflated.ok(f"FETCH {number} BODY.PEEK[]").untagged[0]
    assert len(deflated.ok("FETCH 1:2 BODY.PEEK[TEXT]").untagged) == 2


def test_refusals(client, server, imap, user):
    assert imap(listener="imap").cmd("COMPRESS DEFLATE").status == "BAD", "before the login"
    deflated = client()
    assert deflated.cmd("COMPRESS LZMA").status == "BAD"
    deflated.send(b"a COMPRESS DEFLATE\r\nb NOOP\r\n")
    assert deflated.until(b"a").status == "BAD" and deflated.until(b"b").status == "OK", "still plain"
    deflated.compress()
    deflated.ok("NOOP")
    deflated.sock.sendall(b"plain NOOP, which is no DEFLATE\r\n")
    deflated.at_end()
    deflated = client()
    deflated.compress()
    deflated.send(b"u UNAUTHENTICATE\r\n")
    assert deflated.response().startswith(b"* BYE")
    deflated.at_end()


def test_a_bomb_is_inflated_only_as_far_as_there_is_room(client, server):
    deflated = client()
    deflated.compress()
    bomb = deflated.packer.compress(b"A" * (64 << 20)) + deflated.packer.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < 100000
    pid = server.roles()["imap"]

    def peak():
        status = open(f"/proc/{pid}/status").read()
        return int(status.split("VmHWM:")[1].split()[0])

    before = peak()
    deflated.sock.sendall(bomb)
    assert b"BAD" in deflated.at_end(), "a line without end is refused as ever"
    assert peak() - before < 30000, "kilobytes"


def test_not_offered_unless_configured(make_server, user):
    server = make_server(listeners=["imap"]).start()
    client = Imap(server.ports["imap"])
    assert "COMPRESS" not in client.login(user.address, user.password).text
    assert client.cmd("COMPRESS DEFLATE").text == "Unknown command"
    client.close()
