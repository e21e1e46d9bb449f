"""Limits of addresses, accounts and sender domains, what they never touch, bans on every listener, sessions that do not end."""
import time

import mail
import pytest
from proxyheader import local, v2
from wire import Imap, Smtp

LIMITS = {"mx": {"connections": 4, "connections_per_minute": 3, "messages_per_minute": 2, "recipients_per_minute": 6,
                 "failed_recipients_per_minute": 3, "bytes_per_minute": "200K", "domain_messages_per_minute": 3},
          "submission": {"connections_per_minute": 3, "messages_per_minute": 2, "recipients_per_minute": 4,
                         "bytes_per_minute": "200K"},
          "imap": {"connections_per_minute": 3, "connections_per_user_and_address": 50}, "auth_failure_delay": "1s"}
SERVER = {"limits": LIMITS, "trusted_networks": ["192.0.2.128/25"], "bans": "observe",
          "ban_policy": {"spam_traps": ["trap@example.test"], "threshold": 1000000}}
TRUSTED = "192.0.2.200"
PROXIED = ("mx-proxy", "submission-proxy", "smtps-proxy", "imaps-proxy")
_last = iter(range(1, 60000))


def stranger():
    """An address nobody has come from so far, alone in its /24."""
    number = next(_last)
    return f"100.{64 + number // 250}.{number % 250}.7"


def knock(server, source, listener="mx-proxy"):
    """What the server says first, over TLS where it is implicit; b"" when it closes without a word."""
    header = v2(source, "2001:db8::1" if ":" in source else "198.51.100.1") if source else local()
    try:
        with Smtp(server.ports[listener], greet=False, proxy=header, tls=listener in ("smtps-proxy", "imaps-proxy")) as client:
            return client.line()
    except (EOFError, OSError):
        return b""


def come(server, source, name="client.test"):
    client = Smtp(server.ports["mx-proxy"], proxy=v2(source))
    client.ehlo(name)
    return client


def said(server, mark, kind, source):
    """Details of the security events of this kind from the address."""
    time.sleep(0.2)
    return [line.partition("detail=")[2].split(" ")[0] for line in server.since(mark)
            if f"security.{kind} " in line and f"client={source} " in line]


def refusals(server, reason):
    return sum(value for name, value in server.metrics().items()
               if name.startswith("rockdove_connections_refused_total") and f'reason="{reason}"' in name)


# ---- connections ----

@pytest.mark.parametrize("listener, limit", [("mx-proxy", "mx.connections_per_minute"),
                                             ("submission-proxy", "submission.connections_per_minute"),
                                             ("smtps-proxy", ""), ("imaps-proxy", "")])
def test_connections_per_minute(server, listener, limit):
    source, mark, before = stranger(), server.mark(), refusals(server, "rate")
    for _ in range(3):
        assert knock(server, source, listener).startswith((b"220 ", b"* OK "))
    answer = knock(server, source, listener)
    assert answer.startswith(b"421 4.7.0 ") and limit.encode() in answer if limit else answer == b"", answer
    assert refusals(server, "rate") == before + 1
    assert len(said(server, mark, "limit", source)) == 1
    assert knock(server, stranger(), listener), "another address"
    for _ in range(8):
        assert knock(server, TRUSTED, listener)
        assert knock(server, None, listener), "a load balancer's check"
    with Smtp(server.ports["mx"]) as own:
        assert own.cmd("NOOP").code == 250


def test_a_network_of_ipv6_is_one_client(server):
    for number in range(3):
        assert knock(server, f"2001:db8:77::{number + 1}").startswith(b"220 ")
    assert knock(server, "2001:db8:77::ffff").startswith(b"421 4.7.0 ")
    assert knock(server, "2001:db8:77:1::1").startswith(b"220 ")


def test_services_have_limits_of_their_own(server):
    source = stranger()
    while knock(server, source).startswith(b"220"):
        pass
    assert knock(server, source, "imaps-proxy").startswith(b"* OK")
    assert knock(server, source, "submission-proxy").startswith(b"220")


def test_connections_at_once(make_server):
    limits = {"mx": {"connections": 2}, "sessions_per_address": 3}
    server = make_server(listeners=["mx-proxy", "submission-proxy", "imaps-proxy"], limits=limits).start()
    source, mark = stranger(), server.mark()
    held = [Smtp(server.ports["mx-proxy"], proxy=v2(source)) for _ in range(2)]
    answer = knock(server, source)
    assert answer.startswith(b"421 4.7.0 ") and b"mx.connections" in answer
    held.append(Smtp(server.ports["submission-proxy"], proxy=v2(source)))
    assert b"sessions_per_address" in knock(server, source, "submission-proxy")
    held += [Imap(server.ports["imaps-proxy"], tls=True, proxy=v2(source)) for _ in range(3)]
    assert b"sessions_per_address" in knock(server, source, "imaps-proxy")
    assert set(said(server, mark, "limit", source)) == {"mx.connections", "sessions_per_address"}
    held.pop(0).close()
    deadline = time.monotonic() + 5
    while not knock(server, source).startswith(b"220"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for client in held:
        client.close()


def test_a_listener_has_its_own(make_server):
    """So many strangers at once, from wherever; other listeners and own networks are not touched."""
    server = make_server(listeners=["mx-proxy", "submission-proxy"], trusted_networks=["192.0.2.128/25"])
    server.config["listeners"][0]["connections"] = 2
    server.write_config()
    server.start()
    inside = [come(server, stranger()) for _ in range(2)]
    answer = knock(server, stranger())
    assert answer.startswith(b"421 4.7.0 ") and b"listener connections" in answer
    assert knock(server, stranger(), "submission-proxy").startswith(b"220 ")
    assert knock(server, TRUSTED).startswith(b"220 ")
    inside.pop().close()
    time.sleep(0.2)
    assert knock(server, stranger()).startswith(b"220 ")
    inside.pop().close()


def test_a_network_leaves_room(make_server):
    """20 places: from 15 on one network has a quarter of them at most."""
    server = make_server(listeners=["mx-proxy", "mx", "metrics"], limits={"smtp_sessions": 20, "network_share": 25}).start()
    held = [Smtp(server.ports["mx-proxy"], proxy=v2(f"203.0.113.{number + 1}")) for number in range(15)]
    answer = knock(server, "203.0.113.99")
    assert answer.startswith(b"421 4.7.0 ") and b"network_share" in answer
    assert refusals(server, "network") == 1
    assert knock(server, "198.51.100.1").startswith(b"220")
    with Smtp(server.ports["mx"]) as own:
        assert own.cmd("NOOP").code == 250
    for client in held[:11]:
        client.close()
    time.sleep(0.3)
    assert knock(server, "203.0.113.99").startswith(b"220")


def test_a_reload_changes_limits_and_forgets_nothing(make_server):
    server = make_server(listeners=["mx-proxy"], limits={"mx": {"connections_per_minute": 2}}).start()
    source = stranger()
    assert [knock(server, source)[:3] for _ in range(3)] == [b"220", b"220", b"421"]
    for limits, answer in [({"mx": {"connections_per_minute": 0}}, b"220"),
                           ({"mx": {"connections_per_minute": 2}, "addresses": 2000}, b"421")]:
        server.config["limits"] = limits
        server.write_config()
        server.command("reload")
        deadline = time.monotonic() + 5
        while not knock(server, source).startswith(answer):
            assert time.monotonic() < deadline, limits
            time.sleep(0.1)


# ---- messages ----

def send(client, sender, recipients, message=None):
    """The code of each reply up to the first that is none of success."""
    codes = []
    for text in [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{one}>" for one in recipients), "DATA", message]:
        if text is None:
            return codes
        reply = client.cmd(text if isinstance(text, str) else text + b"\r\n.")
        codes.append(reply)
        if reply.code >= 400:
            return codes
    return codes


def limit_of(reply):
    assert reply.code == 450 and reply.text.startswith("4.7.1 "), reply
    return reply.text.partition("(")[2].partition(")")[0]


def test_messages_per_minute(server, new_user):
    source, mark, to = stranger(), server.mark(), new_user().address
    with come(server, source) as client:
        for number in range(2):
            assert send(client, f"a@m{number}.test", [to], mail.plain())[-1].code == 250
        assert limit_of(send(client, "a@m.test", [to])[0]) == "mx.messages_per_minute"
        assert client.cmd("NOOP").code == 250
    assert said(server, mark, "limit", source) == ["mx.messages_per_minute"]
    with come(server, stranger()) as other:
        assert send(other, "a@m.test", [to], mail.plain())[-1].code == 250
    with come(server, TRUSTED) as own:
        for number in range(4):
            assert send(own, f"a@t{number}.test", [to], mail.plain())[-1].code == 250


def test_recipients_per_minute(server, new_user):
    users = [new_user().address for _ in range(7)]
    with come(server, stranger()) as client:
        replies = [client.cmd("MAIL FROM:<a@r.test>"), *(client.cmd(f"RCPT TO:<{one}>") for one in users)]
        assert [reply.code for reply in replies] == [250] * 7 + [450]
        assert limit_of(replies[-1]) == "mx.recipients_per_minute"
        assert client.cmd("DATA").code == 354
        assert client.cmd(mail.plain() + b"\r\n.").code == 250, "those before are delivered to"


def test_bytes_per_minute(server, new_user):
    to = new_user().address
    with come(server, stranger()) as client:
        assert send(client, "a@b1.test", [to], mail.plain(body="x" * 70 + "\r\n" * 60000))[-1].code == 250
        assert limit_of(client.cmd("MAIL FROM:<a@b2.test> SIZE=150000")) == "mx.bytes_per_minute"
        assert client.cmd("MAIL FROM:<a@b2.test> SIZE=1000").code == 250


def test_a_sender_domain_from_many_addresses(server, new_user):
    to = new_user().address
    for _ in range(3):
        with come(server, stranger()) as client:
            assert send(client, "news@bulk.test", [to], mail.plain())[-1].code == 250
    with come(server, stranger()) as client:
        assert limit_of(client.cmd("MAIL FROM:<other@Bulk.test>")) == "mx.domain_messages_per_minute"
        assert client.cmd("MAIL FROM:<>").code == 250


def test_an_account_has_its_own(server, new_user):
    """The same for an account wherever it logs in from, also from a trusted network; the MX's limits are not asked."""
    user, other = new_user(), new_user()

    def login(source, who):
        client = Smtp(server.ports["smtps-proxy"], tls=True, proxy=v2(source))
        client.ehlo()
        assert client.auth_plain(who.address, who.password).code == 235
        return client

    mark = server.mark()
    with login(stranger(), user) as one, login(TRUSTED, user) as two, login(stranger(), other) as third:
        assert send(one, user.address, [other.address], mail.plain(sender=user.address))[-1].code == 250
        assert send(two, user.address, [other.address], mail.plain(sender=user.address))[-1].code == 250
        for client in (one, two):
            assert limit_of(client.cmd(f"MAIL FROM:<{user.address}>")) == "submission.messages_per_minute"
        replies = [third.cmd(f"MAIL FROM:<{other.address}>"), *(third.cmd(f"RCPT TO:<t{n}@example.test>") for n in range(5))]
        assert [reply.code for reply in replies] == [250] * 5 + [450]
        assert limit_of(replies[-1]) == "submission.recipients_per_minute"
    time.sleep(0.2)
    lines = server.since(mark)
    assert not any("security.limit" in line for line in lines), "an owner is no stranger"
    assert any("smtp.limit" in line and f"user={user.address}" in line for line in lines)


# ---- recipients that are none ----

def test_who_guesses_recipients_waits(server, new_user):
    source, mark, to = stranger(), server.mark(), new_user().address
    with come(server, source) as client:
        assert client.cmd("MAIL FROM:<a@guess.test>").code == 250
        for name in ("nobody@example.test", "a@elsewhere.test", "Trap@example.test"):
            reply = client.cmd(f"RCPT TO:<{name}>")
            assert reply.code == 550, reply
        assert limit_of(client.cmd(f"RCPT TO:<{to}>")) == "mx.failed_recipients_per_minute"
    with come(server, stranger()) as other:
        assert send(other, "a@guess2.test", [to], mail.plain())[-1].code == 250
    assert said(server, mark, "unknown_recipient", source) == ["nobody@example.test"]
    assert said(server, mark, "relay_attempt", source) == ["a@elsewhere.test"]
    assert [name.lower() for name in said(server, mark, "spam_trap", source)] == ["trap@example.test"]


def test_a_trap_is_refused_like_anybody_unknown(server):
    with come(server, stranger()) as client:
        assert client.cmd("MAIL FROM:<a@trap.test>").code == 250
        unknown, trap = client.cmd("RCPT TO:<nobody@example.test>"), client.cmd("RCPT TO:<trap@example.test>")
        assert (unknown.code, unknown.text.replace("nobody", "trap")) == (trap.code, trap.text)
        client.send("RCPT TO:<t1@example.test>\r\nRCPT TO:<trap@example.test>\r\nRCPT TO:<t2@example.test>\r\n")
        assert [client.reply().code for _ in range(3)] == [250, 550, 250]


# ---- nonsense and slowness ----

@pytest.mark.parametrize("listener", ["mx-proxy", "imaps-proxy"])
def test_nonsense_is_told(server, listener):
    source, mark = stranger(), server.mark()
    with Smtp(server.ports[listener], greet=False, proxy=v2(source), tls=listener == "imaps-proxy") as client:
        client.line()
        client.send("this is nothing\r\n" * 30)
        assert b"oo many errors" in client.at_end()
    assert len(said(server, mark, "protocol_abuse", source)) == 1


@pytest.mark.parametrize("listener", ["mx-proxy", "submission-proxy"])
def test_a_stranger_s_session_ends_some_day(make_server, listener):
    server = make_server(listeners=["mx", listener], timeouts={"mx_session": "2s"}).start()
    began = time.monotonic()
    with Smtp(server.ports[listener], proxy=v2(stranger())) as client, Smtp(server.ports["mx"]) as own:
        with pytest.raises((EOFError, ConnectionError)):
            while time.monotonic() - began < 10:
                reply = client.cmd("NOOP")
                if reply.code == 421:
                    break
                time.sleep(0.2)
            client.line()
        assert 1.5 < time.monotonic() - began < 5
        assert own.cmd("NOOP").code == 250


def test_dripping_commands_end_in_time(make_server):
    """A byte now and then is no command; who reads nothing is not written to for ever."""
    server = make_server(listeners=["mx-proxy", "imaps-proxy"], timeouts={"smtp_command": "2s", "imap_login": "2s"}).start()
    clients = [come(server, stranger()), Imap(server.ports["imaps-proxy"], tls=True, proxy=v2(stranger()))]
    began = time.monotonic()
    for client in clients:
        ended = None
        client.sock.settimeout(0.3)
        while not ended and time.monotonic() - began < 10:
            try:
                client.send(b"N")
                ended = client.sock.recv(100) == b""
            except TimeoutError:
                pass
            except OSError:
                ended = True
        assert ended
    assert time.monotonic() - began < 6


# ---- bans ----

def test_a_ban_acts_on_every_listener(server):
    source = stranger()
    server.command("ban", "add", source, "--for", "10m", "--reason", "a test")
    deadline = time.monotonic() + 5
    while not knock(server, source).startswith(b"521"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    before = refusals(server, "banned")
    assert knock(server, source, "submission-proxy").startswith(b"521 5.7.1 ")
    assert knock(server, source, "smtps-proxy") == knock(server, source, "imaps-proxy") == b"", "closed before TLS"
    assert refusals(server, "banned") == before + 3
    for listener in PROXIED:
        assert knock(server, TRUSTED, listener) and knock(server, None, listener)
    server.command("ban", "remove", source)
    deadline = time.monotonic() + 5
    while knock(server, source).startswith(b"521"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
