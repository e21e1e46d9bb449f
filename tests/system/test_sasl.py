"""Mechanisms beyond passwords in the clear: logins bound to their TLS channel."""
import base64

import ssl

from sasl_client import Scram, b64, end_point
from wire import Imap, Smtp, tls_context


def imap_scram(client, mechanism, scram):
    """The tagged answer."""
    client.send(f"a AUTHENTICATE {mechanism} {b64(scram.first())}\r\n".encode())
    line = client.response()
    if not line.startswith(b"+ "):
        return line.decode()
    client.send((b64(scram.final(base64.b64decode(line[2:]).decode())) + "\r\n").encode())
    line = client.response()
    if not line.startswith(b"+ "):
        return line.decode()
    assert base64.b64decode(line[2:]).decode() == "v=" + scram.server, "the server proves itself"
    client.send(b"\r\n")
    return client.response().decode()


def connect(server):
    return Imap(server.ports["imaps"], tls=True)


def test_offered_under_tls_only(server):
    with connect(server) as client:
        assert client.cmd("CAPABILITY").find(rb" AUTH=SCRAM-SHA-256-PLUS( |$)")
    with Imap(server.ports["imap"]) as client:
        answer = client.cmd("CAPABILITY")
        assert answer.find(rb" AUTH=SCRAM-SHA-256( |$)") and not answer.find(rb"-PLUS")
    with Smtp(server.ports["smtps"], tls=True) as client:
        offered = next(line for line in client.ehlo() if line.startswith("AUTH "))
    assert "SCRAM-SHA-256" in offered.split() and "-PLUS" not in offered, "mutt would try it, in vain"


def test_bound_to_the_certificate(server, new_user):
    user = new_user()
    with connect(server) as client:
        scram = Scram(user.address, user.password, "p=tls-server-end-point", end_point(client.sock))
        assert imap_scram(client, "SCRAM-SHA-256-PLUS", scram).startswith("a OK")


def test_bound_to_the_handshake(server, new_user):
    user = new_user()
    with Imap(server.ports["imaps"], tls=True, context=tls_context(maximum_version=ssl.TLSVersion.TLSv1_2)) as client:
        scram = Scram(user.address, user.password, "p=tls-unique", client.sock.get_channel_binding("tls-unique"))
        assert imap_scram(client, "SCRAM-SHA-256-PLUS", scram).startswith("a OK")


def test_somebody_in_between(server, new_user):
    """Another channel than the server's, and a client that was told of no channel binding."""
    user = new_user()
    with connect(server) as client:
        scram = Scram(user.address, user.password, "p=tls-server-end-point", bytes(32))
        assert imap_scram(client, "SCRAM-SHA-256-PLUS", scram).startswith("a BAD")
    with connect(server) as client:
        assert imap_scram(client, "SCRAM-SHA-256", Scram(user.address, user.password, "y")).startswith("a NO")
        assert imap_scram(client, "SCRAM-SHA-256", Scram(user.address, user.password, "n")).startswith("a OK")


def test_submission(server, new_user):
    """Without channel binding, also for a client that could do it."""
    user = new_user()
    with Smtp(server.ports["smtps"], tls=True) as client:
        client.ehlo()
        scram = Scram(user.address, user.password, "y")
        reply = client.cmd(f"AUTH SCRAM-SHA-256 {b64(scram.first())}")
        assert reply.code == 334
        reply = client.cmd(b64(scram.final(base64.b64decode(reply.text).decode())))
        assert (reply.code, base64.b64decode(reply.text).decode()) == (334, "v=" + scram.server)
        assert client.cmd("").code == 235
