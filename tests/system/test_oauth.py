"""Logins with access tokens: verified with the issuer's key, or asked about at the issuer's."""
import base64
import http.server
import json
import threading
import time
import urllib.parse

import pytest

from pop3_client import Pop3
from sasl_client import Issuer, b64, oauthbearer, xoauth2
from wire import Imap, Smtp

USER, OTHER = "ann@example.test", "bob@example.test"
ACCOUNTS = {USER: "never used", OTHER: "neither"}
ISSUER = "https://id.example.test"


class Introspection(http.server.ThreadingHTTPServer):
    """RFC 7662: `known` maps tokens to what is answered; `asked` are the requests' tokens and logins."""
    daemon_threads = True

    def __init__(self):
        self.known, self.asked, self.status = {}, [], 200
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.asked.append((form["token"][0], self.headers["Authorization"], self.headers["Content-Type"]))
        body = json.dumps(self.server.known.get(form["token"][0], {"active": False})).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("issuer")
    return Issuer(folder)


@pytest.fixture
def introspection():
    server = Introspection()
    yield server
    server.shutdown()
    server.server_close()


def start(make_server, tmp_path, oauth, **files):
    tmp_path.chmod(0o755)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o644)
    return make_server(accounts=ACCOUNTS, listeners=["smtps", "imaps", "pop3s", "pop3-starttls"], auth={"oauth": oauth},
                       limits={"auth_failure_delay": "100ms"}).start()


def with_keys(make_server, tmp_path, issuer):
    return start(make_server, tmp_path, {"issuer": ISSUER, "audiences": ["rockdove"], "scopes": ["mail"],
                                         "keys_file": str(tmp_path / "keys")}, keys=issuer.jwks)


def claims(**changed):
    return {"iss": ISSUER, "aud": "rockdove", "scope": "openid mail", "exp": int(time.time()) + 300, "email": USER, **changed}


def login(server, mechanism, message):
    """The tagged answer to a whole exchange, and the server's reasons where it gave some."""
    with Imap(server.ports["imaps"], tls=True) as client:
        client.send(f"a AUTHENTICATE {mechanism} {b64(message)}\r\n".encode())
        line = client.response()
        reasons = None
        if line.startswith(b"+ "):
            reasons = json.loads(base64.b64decode(line[2:]))
            client.send(b"AQ==\r\n")
            line = client.response()
        return line.decode(), reasons


def test_a_signed_token(make_server, tmp_path, issuer):
    server = with_keys(make_server, tmp_path, issuer)
    token = issuer.token(**claims())
    with Imap(server.ports["imaps"], tls=True) as client:
        offered = client.cmd("CAPABILITY").untagged[0].split()
        assert b"AUTH=OAUTHBEARER" in offered and b"AUTH=XOAUTH2" in offered
    for mechanism, message in (("OAUTHBEARER", oauthbearer(USER, token)), ("OAUTHBEARER", oauthbearer("", token)),
                               ("XOAUTH2", xoauth2(USER, token))):
        assert login(server, mechanism, message)[0].startswith("a OK"), mechanism
    with Smtp(server.ports["smtps"], tls=True) as client:
        client.ehlo()
        assert client.cmd("AUTH XOAUTH2 " + b64(xoauth2(USER, token))).code == 235


def test_tokens_that_are_not_taken(make_server, tmp_path, issuer):
    server = with_keys(make_server, tmp_path, issuer)
    good = issuer.token(**claims())
    head, payload, signature = good.split(".")
    none = b64(b'{"alg":"none"}').rstrip("=") + "." + payload + "."
    for user, token in ((USER, issuer.token(**claims(exp=int(time.time()) - 100))), (USER, issuer.token(**claims(iss="https://other"))),
                        (USER, issuer.token(**claims(aud="calendar"))), (USER, issuer.token(**claims(scope="openid"))),
                        (USER, issuer.token(**claims(email="nobody@example.test"))), (OTHER, good), (USER, "opaque"),
                        (USER, f"{head}.{payload}.{signature[:-4]}AAAA"), (USER, none + "AAAA")):
        answer, reasons = login(server, "OAUTHBEARER", oauthbearer(user, token))
        assert answer.startswith("a NO [AUTHENTICATIONFAILED]"), (token, answer)
        assert reasons["status"] == "invalid_token" and reasons["scope"] == "mail", reasons
        assert reasons["openid-configuration"] == ISSUER + "/.well-known/openid-configuration"
    for malformed in ("", "n,,", "n,a=,\1auth=Bearer x\1\1", "n,,\1auth=Bearer x\1", "n,,\1auth=Basic x\1\1", "p=x,,\1auth=Bearer x\1\1",
                      "n,,\1auth=Bearer a b\1\1", "n,,\1auth=Bearer x\1auth=Bearer y\1\1"):
        assert login(server, "OAUTHBEARER", malformed)[0].startswith("a BAD"), malformed


def test_the_issuer_is_asked(make_server, tmp_path, introspection):
    port = introspection.server_address[1]
    server = start(make_server, tmp_path, {"audiences": ["rockdove"], "introspection": {
        "url": f"http://127.0.0.1:{port}/introspect", "client_id": "rock dove", "secret_file": str(tmp_path / "secret")}},
        secret="s:ecret\n")
    introspection.known["opaque.1"] = {"active": True, "aud": "rockdove", "email": USER, "exp": int(time.time()) + 7200}
    introspection.known["other"] = {"active": True, "aud": "calendar", "email": USER}
    assert login(server, "XOAUTH2", xoauth2(USER, "opaque.1"))[0].startswith("a OK")
    token, authorization, form = introspection.asked[0]
    assert (token, form) == ("opaque.1", "application/x-www-form-urlencoded")
    assert base64.b64decode(authorization.split()[1]) == b"rock%20dove:s%3Aecret"
    assert login(server, "OAUTHBEARER", oauthbearer(USER, "opaque.1"))[0].startswith("a OK")
    assert len(introspection.asked) == 1, "remembered for a while, as passwords are"
    assert login(server, "XOAUTH2", xoauth2(USER, "other"))[0].startswith("a NO [AUTHENTICATIONFAILED]")
    assert login(server, "XOAUTH2", xoauth2(OTHER, "opaque.1"))[0].startswith("a NO [AUTHENTICATIONFAILED]")
    assert login(server, "PLAIN", f"\0{USER}\0opaque.1")[0].startswith("a NO"), "a token is no password"
    introspection.status = 503
    assert login(server, "XOAUTH2", xoauth2(USER, "new"))[0].startswith("a NO [UNAVAILABLE]")
    server.stop()
    assert "opaque.1" not in str(server.lines)


# ---- POP3: AUTH (RFC 5034) ----

def pop3(server, listener="pop3s", **options):
    return Pop3(server.ports[listener], **{"tls": listener == "pop3s", **options})


def mechanisms(client):
    return [line.split()[1:] for line in client.many("CAPA") if line.startswith(b"SASL")]


def reasons_of(line):
    assert line.startswith(b"+ "), line
    return json.loads(base64.b64decode(line[2:]))


BEARERS = [("OAUTHBEARER", oauthbearer), ("XOAUTH2", xoauth2)]


def test_pop3_with_a_signed_token(make_server, tmp_path, issuer):
    server = with_keys(make_server, tmp_path, issuer)
    token = issuer.token(**claims())
    with pop3(server, "pop3-starttls") as client:
        assert not mechanisms(client), "a token does not go in the clear"
        client.err("AUTH XOAUTH2 " + b64(xoauth2(USER, token)), b"TLS")
        client.starttls()
        assert {b"OAUTHBEARER", b"XOAUTH2"} <= set(mechanisms(client)[0])
        assert {b"OAUTHBEARER", b"XOAUTH2"} <= set(client.many("AUTH"))
        client.ok("AUTH oauthbearer " + b64(oauthbearer("", token)))
        client.ok("STAT")
        assert not mechanisms(client) and client.err("AUTH XOAUTH2 " + b64(xoauth2(USER, token)))
    for mechanism, message in BEARERS:
        with pop3(server) as client:  # section 4 of RFC 5034: an empty challenge where there is no initial response
            assert client.cmd(f"AUTH {mechanism}") == b"+ "
            assert client.ok(b64(message(USER, token))).endswith(b"Logged in, 0 messages")
            client.ok("QUIT")
    server.wait_log(f"pop3\\.login .*user={USER} .*mechanism=XOAUTH2", 0)


@pytest.mark.parametrize("mechanism,message", BEARERS)
def test_pop3_tells_why_a_token_is_refused(make_server, tmp_path, issuer, mechanism, message):
    """RFC 7628 section 3.2.3: reasons, then whatever the client says, then the failure; and the connection goes on."""
    server = with_keys(make_server, tmp_path, issuer)
    good, old = issuer.token(**claims()), issuer.token(**claims(exp=int(time.time()) - 100))
    with pop3(server) as client:
        for answer in ("AQ==", ""):
            reasons = reasons_of(client.cmd(f"AUTH {mechanism} {b64(message(USER, old))}"))
            assert reasons["status"] == "invalid_token" and reasons["scope"] == "mail", reasons
            assert reasons["openid-configuration"] == ISSUER + "/.well-known/openid-configuration"
            client.err(answer, b"[AUTH]")
        client.send(f"AUTH {mechanism}\r\n{b64(message(OTHER, good))}\r\nAQ==\r\nCAPA\r\n".encode())  # all at once
        assert client.line() == b"+ " and reasons_of(client.line())
        assert client.line().startswith(b"-ERR [AUTH]") and client.line().startswith(b"+OK") and client.rest()
        client.ok(f"AUTH {mechanism} {b64(message(USER, good))}")


def test_pop3_who_does_not_wait_for_the_failure_has_guessed_too(make_server, tmp_path, issuer):
    server = with_keys(make_server, tmp_path, issuer)
    refused = "AUTH XOAUTH2 " + b64(xoauth2(USER, "guess"))
    with pop3(server) as client:
        assert reasons_of(client.cmd(refused))
        client.err("*", b"cancelled")
        assert client.cmd("AUTH OAUTHBEARER") == b"+ "
        client.err("*", b"cancelled")  # nothing was shown
        assert reasons_of(client.cmd(refused))
        client.close()
    with Imap(server.ports["imaps"], tls=True) as client:
        client.send(f"a AUTHENTICATE XOAUTH2 {b64(xoauth2(USER, 'guess'))}\r\n".encode())
        assert reasons_of(client.response())
        client.send(b"*\r\n")
        assert client.response().startswith(b"a BAD")
    server.wait_log("auth\\.failed service=imap .*mechanism=XOAUTH2", 0)
    server.stop()
    assert len([line for line in server.lines if "auth.failed" in line]) == 3, server.lines


def test_pop3_bad_messages(make_server, tmp_path, issuer):
    server = with_keys(make_server, tmp_path, issuer)
    good = issuer.token(**claims())
    with pop3(server) as client:
        for line in ("AUTH XOAUTH2 =", "AUTH XOAUTH2 AQ==", "AUTH OAUTHBEARER " + b64("n,,"), "AUTH XOAUTH2 !",
                     "AUTH OAUTHBEARER " + b64(f"n,,\1auth=Bearer {good}\1"), "AUTH XOAUTH2 " + b64(xoauth2(USER, "a b")),
                     "AUTH OAUTHBEARER " + b64(f"p=tls-unique,,\1auth=Bearer {good}\1\1"), "AUTH OAUTHBEARER-PLUS"):
            assert b"[AUTH]" not in client.err(line), line
        assert client.cmd("AUTH XOAUTH2") == b"+ "
        client.err("no base64")
        client.err("AUTH XOAUTH2 " + "A" * 17000, b"too long")
        client.err("AUTH XOAUTH2 " + b64("x" * 12100), b"Malformed")  # above what a message may have, within the line
        longest = xoauth2(USER, "y" * (11900 - len(USER)))
        assert reasons_of(client.cmd("AUTH XOAUTH2 " + b64(longest)))
        client.err("AQ==", b"[AUTH]")
        client.ok("AUTH XOAUTH2 " + b64(xoauth2(USER, good)))
    with pop3(server) as client:
        assert client.cmd("AUTH XOAUTH2") == b"+ "
        client.err("A" * 17000, b"Malformed authentication response")
        assert client.at_end() == b"", "where the answer ends nobody knows"


def test_pop3_asks_the_issuer(make_server, tmp_path, introspection):
    port = introspection.server_address[1]
    server = start(make_server, tmp_path, {"audiences": ["rockdove"], "introspection": {
        "url": f"http://127.0.0.1:{port}/introspect", "client_id": "rockdove", "secret_file": str(tmp_path / "secret")}},
        secret="secret\n")
    introspection.known["opaque.1"] = {"active": True, "aud": "rockdove", "email": USER, "exp": int(time.time()) + 7200}
    with pop3(server) as client:
        reasons_of(client.cmd("AUTH XOAUTH2 " + b64(xoauth2(OTHER, "opaque.1"))))
        client.err("", b"[AUTH]")
        introspection.status = 503
        client.err("AUTH XOAUTH2 " + b64(xoauth2(USER, "opaque.1")), b"[SYS/TEMP]")
        introspection.status = 200
        client.ok("AUTH OAUTHBEARER " + b64(oauthbearer(USER, "opaque.1")))
    with pop3(server) as client:
        introspection.status = 503
        client.ok("AUTH XOAUTH2 " + b64(xoauth2(USER, "opaque.1")))  # remembered
    assert len(introspection.asked) == 3


def test_pop3_without_issuer(make_server, tmp_path):
    """And with keys that cannot be read: what does not work is not offered."""
    for oauth in ({}, {"issuer": ISSUER, "audiences": ["rockdove"], "keys_file": str(tmp_path / "keys")}):
        server = start(make_server, tmp_path, oauth, keys="no keys")
        with pop3(server) as client:
            assert not {b"OAUTHBEARER", b"XOAUTH2"} & set(mechanisms(client)[0])
            client.err("AUTH XOAUTH2 " + b64(xoauth2(USER, "x")), b"not supported")
        server.stop()
