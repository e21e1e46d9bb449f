"""Mail sent straight to the MXs of its domain: which host, under which TLS policy, with what the other side can do."""
import re
import ssl
import time

import mail
import pytest
from peers.dnszone import tlsa_2_0_1, tlsa_3_1_1
from peers.httpsts import policy
from peers.smtpserver import EXTENSIONS, Drop, Raw
from wire import Smtp

PLAIN = [line for line in EXTENSIONS if line not in ("CHUNKING", "8BITMIME", "SMTPUTF8", "PIPELINING", "DSN")]


def WORLD(certs, _):
    dane = certs.make("mx.dane.test")[0]
    records = """
        two     MX 10 a.two
        two     MX 20 b.two
        a.two   A 127.0.2.1
        b.two   A 127.0.2.2
        equal   MX 10 a.equal
        equal   MX 10 b.equal
        equal   MX 10 c.equal
        a.equal A 127.0.2.3
        b.equal A 127.0.2.4
        c.equal A 127.0.2.5
        bare    A 127.0.2.6
        null    MX 0 .
        private MX 10 mx.private
        mx.private A 10.11.12.13
        self    MX 10 mail.example
        mail.example A 127.0.2.7
        backup  MX 10 primary.backup
        backup  MX 20 mail.example
        primary.backup A 127.0.2.8
        nowhere MX 10 does-not-exist.nowhere
        cname   CNAME bare
        six     MX 10 mx.six
        mx.six  AAAA ::1
        dual    MX 10 mx.dual
        mx.dual AAAA ::1
        mx.dual A 127.0.2.9
        hang    MX 10 a.hang
        hang    MX 20 b.hang
        a.hang  A 127.0.2.20
        b.hang  A 127.0.2.21
        """ + "".join(f"many MX {n // 10} m{n}.many\nm{n}.many A 127.0.2.10\n" for n in range(1000))
    for n, name in enumerate(STS):
        records += f"""
        {name}          MX 10 mx.{name}
        mx.{name}       A 127.0.3.{n + 1}
        mta-sts.{name}  A 127.0.3.200
        _mta-sts.{name} TXT "v=STSv1; id=20261121T{n:02d}"
        """
    records = "\n".join(line.strip() for line in records.splitlines()) + "\n"
    zones = {
        "dane.test": (f"@ MX 10 mx\nmx A 127.0.4.1\n_%PORT%._tcp.mx TLSA {tlsa_3_1_1(dane)}\n", {"signed": True}),
        "wrongdane.test": (f"@ MX 10 mx\nmx A 127.0.4.2\n_%PORT%._tcp.mx TLSA {tlsa_3_1_1(dane)}\n", {"signed": True}),
        "plaindane.test": (f"@ MX 10 mx\nmx A 127.0.4.3\n_%PORT%._tcp.mx TLSA {tlsa_3_1_1(dane)}\n", {"signed": True}),
        "tadane.test": (f"@ MX 10 mx\nmx A 127.0.4.4\n_%PORT%._tcp.mx TLSA {tlsa_2_0_1(certs.ca)}\n", {"signed": True}),
        "unusable.test": ("@ MX 10 mx\nmx A 127.0.4.5\n_%PORT%._tcp.mx TLSA 3 1 9 00aa\n", {"signed": True}),
        "signed.test": ("@ MX 10 mx\nmx A 127.0.4.6\n", {"signed": True}),
        "bogus.test": ("@ MX 10 mx\nmx A 127.0.4.7\n", {"signed": True, "alter": ("127.0.4.7", "127.0.4.8")}),
        "insecuretlsa.test": f"@ MX 10 mx\nmx A 127.0.4.9\n_%PORT%._tcp.mx TLSA {tlsa_3_1_1(dane)}\n",
    }
    return {"records": records, "zones": zones, "listeners": ["mx", "submission-plain", "smtps", "imap", "metrics"], "servfail": ["broken.test"],
            "direct": {"allow_networks": ["127.0.0.0/8", "::1/128"]}}


STS = ("enforce", "badcert", "notlisted", "testing", "nopolicy", "badhost", "redirect", "notls", "once", "trial", "trialcert", "trialname", "trialmx", "trialclear")


# ---- which host ----

def test_the_first_mx_is_asked_first(world):
    first, second = world.server_at("127.0.2.1"), world.server_at("127.0.2.2")
    for _ in range(5):
        world.send(world.new_user(), "user@two.test")
    first.wait_messages(5)
    assert not second.sessions


def test_the_next_mx_when_the_first_is_not_there(world):
    second = world.server_at("127.0.2.2")
    _, word = world.send(world.new_user(), "user@two.test")
    assert second.wait_messages(1)[0].body.startswith(word.encode())


@pytest.mark.parametrize("script", [{"connect": "421 4.3.2 busy"}, {"connect": "554 5.3.2 no mail here"}, {"connect": Drop()}, {"ehlo": Drop()}],
                         ids=["421", "554", "drop", "ehlo"])
def test_the_next_mx_when_the_first_will_not_talk(world, script):
    world.server_at("127.0.2.1", script=script)
    second = world.server_at("127.0.2.2")
    world.send(world.new_user(), "user@two.test")
    second.wait_messages(1)
    world.wait_gone("user@two.test")


def test_equal_preferences_share_the_mail(world):
    servers = [world.server_at(f"127.0.2.{n}") for n in (3, 4, 5)]
    for _ in range(24):
        world.send(world.new_user(), "user@equal.test")
        time.sleep(0.02)
    servers[0].wait(lambda: sum(len(server.kept) for server in servers) == 24, what="24 messages")
    used = sum(bool(server.kept) for server in servers)
    assert used >= 2, [len(server.kept) for server in servers]


def test_no_mx_means_the_address_of_the_domain(world):
    bare = world.server_at("127.0.2.6")
    world.send(world.new_user(), "user@bare.test")
    bare.wait_messages(1)


def test_an_address_literal(world):
    server = world.server_at("127.0.2.6")
    world.send(world.new_user(), "user@[127.0.2.6]")
    assert server.wait_messages(1)[0].to == ["user@[127.0.2.6]"]


def test_ipv6(world):
    server = world.server_at("::1")
    world.send(world.new_user(), "user@six.test")
    server.wait_messages(1)


def test_ipv4_when_ipv6_does_not_answer(world):
    server = world.server_at("127.0.2.9")
    world.send(world.new_user(), "user@dual.test")
    server.wait_messages(1)


def test_a_thousand_mx(world):
    server = world.server_at("127.0.2.10")
    world.send(world.new_user(), "user@many.test")
    server.wait_messages(1)


@pytest.mark.parametrize("domain,status,words", [
    ("null.test", "5.1.10", r"null MX|no mail|takes no"),
    ("does-not-exist.test", "5.1.2", r"exist|unknown|no such"),
    ("nowhere.test", r"5\.[14]\.\d", r"."),
    ("private.test", r"5\.4\.\d|5\.1\.\d", r"private|10\.11\.12\.13"),
    ("self.test", "5.4.6", r"loops? back"),
])
def test_domains_that_cannot_be_sent_to(world, domain, status, words):
    user = world.new_user()
    world.send(user, f"user@{domain}")
    note = world.bounce(user)
    entry = note.of(f"user@{domain}")
    assert entry["Action"] == "failed"
    assert re.fullmatch(status, entry["Status"]), entry
    assert re.search(words, (entry["Diagnostic-Code"] or "") + note.text, re.I), note.raw.decode()


def test_as_backup_mx_we_send_to_better_ones_only(world):
    primary = world.server_at("127.0.2.8")
    world.send(world.new_user(), "user@backup.test")
    primary.wait_messages(1)


@pytest.mark.parametrize("domain", ["broken.test", "bogus.test"])
def test_a_dns_failure_is_no_answer(world, domain):
    user = world.new_user()
    world.send(user, f"user@{domain}")
    row = world.wait_row(f"user@{domain}", state="deferred")
    time.sleep(1.5)
    assert world.row(f"user@{domain}"), row
    assert world.inbox(user) == []


def test_a_dns_that_is_away_for_a_while(world):
    remote = world.remote()
    world.dns.pause()
    try:
        world.send(world.new_user(), remote.address())
        time.sleep(1)
        assert world.row(remote.address())
    finally:
        world.dns.pause(False)
    world.queue("retry", "--recipient", remote.address(), check=False)
    remote.wait_messages(1, timeout=40)


# ---- what the other side can do ----

def test_the_message_arrives_as_it_was_sent(world):
    remote = world.remote()
    user = world.new_user()
    body = "..dots\r\n.\r\n.x\r\n" + "long " * 180 + "\r\n" + "x" * 990 + "\r\n\r\n\r\n"
    message = mail.plain(body=body, sender=user, to=remote.address())
    world.send(user, remote.address(), message)
    got = remote.wait_messages(1)[0]
    assert got.body == body.encode()
    assert got.sender == user and got.to == [remote.address()]
    assert got.header("Subject") == "hello" and b"Return-Path:" not in got.data and b"Delivered-To:" not in got.data
    assert re.search(rf"by mail\.example\.test .*with ESMTPA id \w+", got.header("Received")), got.header("Received")


def test_a_large_message(world):
    remote = world.remote()
    user = world.new_user()
    body = "".join(f"{n:08d} {'y' * 66}\r\n" for n in range(120000))  # 9 MB
    world.send(user, remote.address(), mail.plain(body=body, sender=user))
    assert remote.wait_messages(1, timeout=40)[0].body == body.encode()


@pytest.mark.parametrize("extensions", [(), ("PIPELINING",), ("8BITMIME",), PLAIN, EXTENSIONS], ids=["none", "pipelining", "8bitmime", "plain", "all"])
def test_servers_with_few_extensions(world, extensions):
    remote = world.remote(extensions=extensions)
    to = [remote.address(f"u{n}") for n in range(5)]
    world.send(world.new_user(), to)
    got = remote.wait_messages(1)[0]
    assert got.to == to
    if "PIPELINING" not in extensions:
        assert remote.sessions[0].pipelined == 0
    else:
        assert remote.sessions[0].pipelined > 0
    assert not any("BODY=" in command for command in remote.sessions[0].commands) or "8BITMIME" in extensions


def test_helo_where_ehlo_is_not_known(world):
    remote = world.remote(script={"ehlo": "502 5.5.1 no"})
    world.send(world.new_user(), remote.address())
    remote.wait_messages(1)


def test_one_transaction_for_the_recipients_of_a_domain(world):
    remote, other = world.remote(), world.remote()
    to = [remote.address(f"u{n}") for n in range(30)]
    world.send(world.new_user(), [*to, other.address()])
    assert sorted(remote.wait_messages(1)[0].to) == sorted(to)
    assert other.wait_messages(1)[0].to == [other.address()]


def test_each_recipient_has_its_own_fate(world):
    answers = {"hard": "550 5.1.1 no such user", "soft": ["451 4.3.0 later", None]}
    def rcpt(session, argument):
        what = next((answer for name, answer in answers.items() if name in argument), None)
        return session.server.next_of(what) if isinstance(what, list) else what
    remote = world.remote(script={"rcpt": rcpt})
    user = world.new_user()
    world.send(user, [remote.address(name) for name in ("good", "hard", "soft")])
    first, second = remote.wait_messages(2)
    assert first.to == [remote.address("good")] and second.to == [remote.address("soft")]
    note = world.bounce(user)
    assert [block["Final-Recipient"] for block in note.recipients] == [f"rfc822;{remote.address('hard')}"] or \
        note.of(remote.address("hard"))["Status"] == "5.1.1"


def test_a_refusal_counts_whatever_its_text_holds(world):
    """Control characters in a reply are the server's bad taste; the code is its answer, and nobody's terminal is told more."""
    remote = world.remote(script={"connect": Raw(b"220 h\0i \x1b]0;you\x07 there\r\n"), "rcpt": Raw(b"550-5.1.1 \x1b[31mno\0 such\r\n550 5.1.1 us\x01er\rhere\x7f\r\n")})
    user = world.new_user()
    message, _ = world.send(user, remote.address())
    entry = world.bounce(user).of(remote.address())
    assert entry["Status"] == "5.1.1" and "?[31mno? such us?er?here?" in entry["Diagnostic-Code"], entry
    assert not re.search(r"[\0-\x08\x0b-\x1f\x7f]", "".join(line for line in world.server.lines if message in line))


@pytest.mark.parametrize("reply", [b"550 5.1.1 no\n", b"55\0 no\r\n", b"550 " + b"x" * 70000 + b"\r\n"], ids=["LF", "NUL", "long"])
def test_what_cannot_be_told_apart_is_no_refusal(world, reply):
    remote = world.remote(script={"rcpt": [Raw(reply), None]})
    world.send(world.new_user(), remote.address())
    remote.wait_messages(1)


def test_connections_are_used_again(world):
    remote = world.remote()
    for _ in range(20):
        world.send(world.new_user(), remote.address())
    remote.wait_messages(20)
    assert len(remote.sessions) <= 5, len(remote.sessions)


def test_a_connection_the_server_closed_meanwhile(world):
    count = iter(range(100))
    remote = world.remote(script={"mail": lambda session, _: Drop() if session.server.kept and next(count) == 0 else None})
    for _ in range(3):
        world.send(world.new_user(), remote.address())
        time.sleep(0.1)
    remote.wait_messages(3)


def test_a_limit_of_recipients(world):
    """452 behind some recipients means: send me the others in another transaction (RFC 5321 4.5.3.1.10)."""
    def rcpt(session, _):
        return "452 4.5.3 too many recipients" if len(session.message.recipients) >= 10 else None
    remote = world.remote(script={"rcpt": rcpt})
    to = [remote.address(f"u{n}") for n in range(25)]
    world.send(world.new_user(), to)
    remote.wait(lambda: sum(len(message.to) for message in remote.kept) == 25, what="25 recipients")
    assert sorted(address for message in remote.kept for address in message.to) == sorted(to)
    assert all(len(message.to) <= 10 for message in remote.kept)


def test_too_large_for_the_other_side(world):
    remote = world.remote(extensions=("SIZE 1000",))
    user = world.new_user()
    world.send(user, remote.address(), body="x" * 70 + "\r\n" + "y" * 900 + "\r\n" * 600)
    assert world.bounce(user).of(remote.address())["Status"] == "5.3.4"
    assert not remote.offered


EIGHT = "Grüße aus Köln: äöüß €\r\n.Punkt am Anfang\r\n" * 20


def eight_bit(user, to):
    return mail.plain(body=EIGHT, sender=user, to=to, MIME_Version="1.0", Content_Type="text/plain; charset=utf-8", Content_Transfer_Encoding="8bit")


def test_eight_bits_where_they_may_go(world):
    remote = world.remote()
    user = world.new_user()
    world.send(user, remote.address(), eight_bit(user, remote.address()), mail_parameters=" BODY=8BITMIME")
    got = remote.wait_messages(1)[0]
    assert got.body == EIGHT.encode() and got.parameters.get("BODY") == "8BITMIME"


def test_seven_bits_for_a_server_without_8bitmime(world):
    import email
    remote = world.remote(extensions=("PIPELINING", "SIZE 1000000"))
    user = world.new_user()
    world.send(user, remote.address(), eight_bit(user, remote.address()), mail_parameters=" BODY=8BITMIME")
    got = remote.wait_messages(1)[0]
    assert all(byte < 128 for byte in got.data)
    parsed = email.message_from_bytes(got.data)
    assert parsed.get_payload(decode=True).decode() == EIGHT
    assert parsed["Content-Transfer-Encoding"] in ("quoted-printable", "base64")


def test_smtputf8(world):
    remote, old = world.remote(), world.remote(extensions=PLAIN)
    user = world.new_user()
    for server in (remote, old):
        to = f"größe@{server.domain}"
        world.send(user, to, mail.plain(sender=user, to=to, subject="Grüße"), mail_parameters=" SMTPUTF8 BODY=8BITMIME")
    got = remote.wait_messages(1)[0]
    assert "SMTPUTF8" in got.parameters and got.to == [f"größe@{remote.domain}"]
    assert world.bounce(user).recipients[0]["Status"] == "5.6.7"
    assert not old.offered


def test_the_name_in_ehlo(world):
    remote = world.remote()
    world.send(world.new_user(), remote.address())
    remote.wait_messages(1)
    assert remote.sessions[0].ehlo_name == "mail.example.test"


def test_what_dns_says_of_our_name_is_a_metric(world):
    """It is looked up in the background soon after the start; nobody asks for a PTR record of an address of this host alone."""
    world.server.wait_log(r"relay\.identity .*state=good", timeout=10)
    states = {name: value for name, value in world.server.metrics().items() if name.startswith("rockdove_relay_identity{")}
    assert [name for name, value in states.items() if value] == ['rockdove_relay_identity{state="good"}'] and len(states) == 6, states


def test_source_address(make_world):
    world = make_world(direct={"source_ipv4": "127.0.9.9"}).start()
    remote = world.remote()
    world.send(world.new_user(), remote.address())
    remote.wait_messages(1)
    assert remote.sessions[0].peer[0] == "127.0.9.9"


# ---- TLS where nobody demands it ----

@pytest.fixture(params=["self-signed", "expired", "wrong name", "good"])
def any_cert(request, certs):
    return {"self-signed": certs.make("anything.test"), "expired": certs.issue("old.test", days=-1),
            "wrong name": certs.issue("other.test"), "good": certs.issue("*.test")}[request.param]


def test_opportunistic_tls_takes_any_certificate(world, any_cert):
    remote = world.remote(cert=any_cert)
    world.send(world.new_user(), remote.address())
    remote.wait_messages(1)
    assert remote.kept[0].session.tls


@pytest.mark.parametrize("script", [{"starttls": "454 4.7.0 not now"}, {"starttls": Drop()}], ids=["454", "drop"])
def test_opportunistic_tls_does_without(world, certs, script):
    remote = world.remote(script=script, cert=certs.make("anything.test"))
    world.send(world.new_user(), remote.address())
    remote.wait_messages(1)
    assert remote.kept[0].session.tls is None


def test_a_server_of_long_ago(world, certs):
    """TLS 1.0 only is as good as none: the mail goes, in the clear or under it."""
    remote = world.remote(cert=certs.make("anything.test"), maximum_tls=ssl.TLSVersion.TLSv1)
    world.send(world.new_user(), remote.address())
    remote.wait_messages(1)


def test_text_before_the_handshake_is_no_answer(world, certs):
    """Replies put behind STARTTLS's by someone in the middle are not taken for those of the server."""
    remote = world.remote(script=[{"starttls": Raw(b"220 go\r\n250-evil.test\r\n250 AUTH PLAIN\r\n")}, {}], cert=certs.make("anything.test"))
    world.send(world.new_user(), remote.address())
    remote.wait_messages(1)
    assert not remote.kept[0].session.blobs


# ---- DANE ----

def test_dane(world, certs):
    server = world.server_at("127.0.4.1", cert=certs.make("mx.dane.test"))
    world.send(world.new_user(), "user@dane.test")
    server.wait_messages(1)
    assert server.kept[0].session.tls
    world.server.wait_log(r"dane")


def test_dane_trust_anchor(world, certs):
    server = world.server_at("127.0.4.4", cert=certs.issue("mx.tadane.test"))
    world.send(world.new_user(), "user@tadane.test")
    server.wait_messages(1)


@pytest.mark.parametrize("domain,host,options", [("wrongdane.test", "127.0.4.2", True), ("plaindane.test", "127.0.4.3", False)])
def test_dane_that_does_not_hold(world, certs, domain, host, options):
    server = world.server_at(host, cert=certs.make("an.impostor.test") if options else None)
    user = world.new_user()
    world.send(user, f"user@{domain}")
    world.wait_row(f"user@{domain}", state="deferred")
    server.wait_sessions(1)
    time.sleep(1)
    assert not server.offered and world.inbox(user) == []
    assert not any(command.startswith("MAIL") for session in server.sessions for command in session.commands)


def test_unusable_tlsa_records_ask_for_tls_alone(world, certs):
    server = world.server_at("127.0.4.5", cert=certs.make("anything.test"))
    world.send(world.new_user(), "user@unusable.test")
    server.wait_messages(1)
    assert server.kept[0].session.tls


@pytest.mark.parametrize("domain,host", [("signed.test", "127.0.4.6"), ("insecuretlsa.test", "127.0.4.9")])
def test_no_dane_without_signed_records(world, domain, host):
    server = world.server_at(host)
    world.send(world.new_user(), f"user@{domain}")
    server.wait_messages(1)


# ---- MTA-STS ----

@pytest.fixture
def policies(world, certs):
    good = certs.issue(*(f"mta-sts.{name}.test" for name in STS if name != "badhost"), stem="policies")
    return world.policy_server(good, "127.0.3.200", {
        "enforce.test": policy("enforce", "mx.enforce.test"), "badcert.test": policy("enforce", "*.badcert.test"),
        "notlisted.test": policy("enforce", "other.notlisted.test"), "testing.test": policy("testing", "mx.testing.test"),
        "badhost.test": policy("enforce", "nobody.test"), "notls.test": policy("enforce", "mx.notls.test"),
        "trial.test": policy("testing", "mx.trial.test"), "trialcert.test": policy("testing", "mx.trialcert.test"),
        "trialname.test": policy("testing", "mx.trialname.test"), "trialmx.test": policy("testing", "other.trialmx.test"),
        "trialclear.test": policy("testing", "mx.trialclear.test"),
        "redirect.test": ("redirect", "https://mta-sts.enforce.test/.well-known/mta-sts.txt"), "once.test": policy("enforce", "mx.once.test")})


def sts_server(world, name, cert):
    return world.server_at(f"127.0.3.{STS.index(name) + 1}", cert=cert)


def test_sts_enforced(world, certs, policies):
    server = sts_server(world, "enforce", certs.issue("mx.enforce.test"))
    world.send(world.new_user(), "user@enforce.test")
    server.wait_messages(1)
    assert ("mta-sts.enforce.test", "/.well-known/mta-sts.txt") in policies.asked


@pytest.mark.parametrize("name,cert", [("badcert", "self"), ("notlisted", "good"), ("notls", None)])
def test_sts_that_does_not_hold(world, certs, policies, name, cert):
    chosen = {"self": certs.make(f"mx.{name}.test"), "good": certs.issue(f"mx.{name}.test"), None: None}[cert]
    server = sts_server(world, name, chosen)
    user = world.new_user()
    world.send(user, f"user@{name}.test")
    world.wait_row(f"user@{name}.test", state="deferred")
    time.sleep(1)
    assert not server.offered and world.inbox(user) == []


@pytest.mark.parametrize("name", ["testing", "nopolicy", "badhost", "redirect"])
def test_sts_that_asks_for_nothing(world, certs, policies, name):
    """Testing mode; no policy; a policy from a host without a certificate for it; one behind a redirect."""
    server = sts_server(world, name, certs.make(f"mx.{name}.test", stem=f"self-{name}"))
    world.send(world.new_user(), f"user@{name}.test")
    server.wait_messages(1)


@pytest.mark.parametrize("name,cert,result", [
    ("trial", "good", "success"), ("trialcert", "self", "certificate-not-trusted"), ("trialname", "other", "certificate-host-mismatch"),
    ("trialmx", "good", "validation-failure"), ("trialclear", None, "starttls-not-supported")])
def test_a_tested_policy_has_its_result_kept(world, certs, policies, name, cert, result):
    """Nothing is refused, but the table behind the reports on TLS says what would have been; the log says it once."""
    chosen = {"good": certs.issue(f"mx.{name}.test"), "self": certs.make(f"mx.{name}.test", stem=f"self-{name}"),
              "other": certs.issue("mx.elsewhere.test"), None: None}[cert]
    server, mark = sts_server(world, name, chosen), world.server.mark()
    for n in range(2):
        world.send(world.new_user(), f"user{n}@{name}.test")
        world.wait_gone(f"user{n}@{name}.test")
    server.wait_messages(2)
    deadline = time.monotonic() + 5
    while sum(row[-1] for row in world.attempts(f"{name}.test")) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [(mx, policy, told, count) for mx, policy, told, _, count in world.attempts(f"{name}.test")] == [(f"mx.{name}.test", "sts", result, 2)]
    told = [line for line in world.server.since(mark) if "sts_testing" in line]
    assert len(told) == (result != "success") and all(f"domain={name}.test" in line and f"result={result}" in line for line in told), told


def test_a_policy_is_kept(world, certs, policies):
    server = sts_server(world, "once", certs.issue("mx.once.test"))
    for n in range(4):
        world.send(world.new_user(), f"user{n}@once.test")
        time.sleep(0.3)
    server.wait_messages(4)
    assert len([name for name, _ in policies.asked if name == "mta-sts.once.test"]) == 1


# ---- REQUIRETLS ----

@pytest.mark.parametrize("domain,host,offers,status", [
    ("signed.test", "127.0.4.6", True, None), ("signed.test", "127.0.4.6", False, "5.7.30"), ("two.test", "127.0.2.1", True, "5.7.30")],
    ids=["offered", "not offered", "nobody vouches for the MX"])
def test_requiretls(world, certs, domain, host, offers, status):
    """What must not travel in the clear goes to servers that promise the same, of names nobody could have forged, or back."""
    name = {"signed.test": "mx.signed.test", "two.test": "a.two.test"}[domain]
    remote = world.server_at(host, cert=certs.issue(name), extensions=[*EXTENSIONS, *(["REQUIRETLS"] if offers else [])])
    user = world.new_user()
    with world.submission(user):
        assert "REQUIRETLS" not in world.extensions, "offered under TLS only"
    with Smtp(world.server.ports["smtps"], tls=True) as client:
        assert "REQUIRETLS" in client.ehlo()
        assert client.auth_plain(user, world.accounts[user]).code == 235
        assert client.cmd(f"MAIL FROM:<{user}> REQUIRETLS").code == 250
        assert client.cmd(f"RCPT TO:<user@{domain}>").code == 250
        assert client.data(mail.plain(sender=user)).code == 250
    if status:
        assert world.bounce(user).of(f"user@{domain}")["Status"] == status
        assert not remote.offered
    else:
        assert "REQUIRETLS" in remote.wait_messages(1)[0].parameters and remote.kept[0].session.tls
