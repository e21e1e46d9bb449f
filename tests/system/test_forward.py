"""Aliases that lead to other servers: whom they reach, what the message looks like there, loops, and where bounces go."""
import re
import time

import mail
import pytest
from rockdove import Server
from world import Notification
from wire import Smtp

ALIASES = """
one@example.test            a@r1.test
several@example.test        a@r1.test, b@r1.test,c@r2.test t170@example.test
chain@example.test          one@example.test
twice@example.test          one@example.test, a@r1.test, chain@example.test
mine@example.test           mine@example.test a@r1.test
@catch.test                 a@r1.test
known@catch.test            t171@example.test
refuses@example.test        a@r3.test
eight@example.test          a@r4.test
slow@example.test           a@r5.test
back@example.test           ring@r6.test
"""
REGEXPS = """
# throw-away addresses
/^.*-generated@example\\.test$/        t172@example.test
/^out-(.*)@example\\.test$/            $1@r1.test
/^both[0-9]+@example\\.test$/          t173@example.test, a@r2.test
"""


def WORLD(certs, folder):
    (folder / "srs").write_text("first secret\nold secret\n")
    (folder / "srs").chmod(0o600)
    (folder / "regexp.cf").write_text(REGEXPS)
    return {"aliases": ALIASES, "regexp_aliases": [{"file": folder / "regexp.cf"}], "domains": [{"name": "example.test"}, {"name": "catch.test"}],
            "srs": {"domain": "example.test", "secret_file": folder / "srs"}}


def receive(world, to, sender="stranger@far.example", message=None, **more):
    message = message or mail.plain(to=to if isinstance(to, str) else to[0], sender=sender)
    reply = world.receive(to, message, sender=sender, **more)
    assert reply.code == 250, reply


# ---- whom it reaches ----

def test_one_target_elsewhere(world):
    remote = world.remote(number=1)
    receive(world, "one@example.test")
    got = remote.wait_messages(1)[0]
    assert got.to == ["a@r1.test"] and re.fullmatch(r"SRS0=\S+=far\.example=stranger@example\.test", got.sender)


def test_several_targets(world):
    first, second = world.remote(number=1), world.remote(number=2)
    receive(world, "several@example.test")
    assert sorted(first.wait_messages(1)[0].to) == ["a@r1.test", "b@r1.test"]
    assert second.wait_messages(1)[0].to == ["c@r2.test"]
    world.wait_inbox("t170@example.test")


def test_the_same_mailbox_once(world):
    remote = world.remote(number=1)
    receive(world, ["twice@example.test", "one@example.test", "chain@example.test"])
    remote.wait_messages(1)
    time.sleep(1)
    assert [message.to for message in remote.kept] == [["a@r1.test"]]


def test_an_account_that_also_forwards(make_world):
    world = make_world(aliases="t1@example.test t1@example.test, a@r1.test\n").start()
    remote = world.remote(number=1)
    assert world.receive("t1@example.test", mail.plain()).code == 250
    remote.wait_messages(1)
    world.wait_inbox("t1@example.test")


def test_a_catch_all_elsewhere(world):
    remote = world.remote(number=1)
    receive(world, "whoever@catch.test")
    assert remote.wait_messages(1)[0].to == ["a@r1.test"]
    receive(world, "known@catch.test")
    world.wait_inbox("t171@example.test")
    assert len(remote.kept) == 1


def test_regular_expressions(world):
    first, second = world.remote(number=1), world.remote(number=2)
    receive(world, "shop4711-generated@example.test")
    world.wait_inbox("t172@example.test")
    receive(world, "out-someone@example.test")
    assert first.wait_messages(1)[0].to == ["someone@r1.test"]
    receive(world, "both12@example.test")
    second.wait_messages(1)
    world.wait_inbox("t173@example.test")
    with Smtp(world.server.ports["mx"]) as client:
        client.ehlo()
        client.cmd("MAIL FROM:<a@far.example>")
        assert client.cmd("RCPT TO:<bothx@example.test>").code == 550


def test_route_explains(world):
    text = world.server.command("route", "chain@example.test").stdout
    assert "one@example.test" in text and "a@r1.test" in text
    text = world.server.command("route", "out-x@example.test").stdout
    assert "x@r1.test" in text


def test_loops_are_found_by_check(make_world):
    world = make_world(aliases="a@example.test b@example.test\nb@example.test c@example.test\nc@example.test a@example.test\n")
    server = Server(world.folder / "check", world.certs, world.accounts, **world.options)
    done = server.command("check", check=False)
    text = done.stdout + done.stderr
    assert re.search(r"a@example\.test.*b@example\.test.*c@example\.test.*a@example\.test", text, re.S), text
    assert re.search("loop|circle|itself", text, re.I), text


# ---- what it looks like there ----

SIGNED = (b"DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=far.example; s=x;\r\n\th=from:to:subject; bh=MTIz;\r\n\tb=abcd\r\n"
          b"Received: from far.example by relay.far.example; Sat, 21 Nov 2026 03:42:49 +0000\r\n"
          b"From: stranger@far.example\r\nTo: one@example.test\r\nSubject:  odd   spacing \r\nX-Folded: a\r\n\tb\r\n  c\r\n\r\n"
          b"Body with trailing space \r\n..dots\r\n\r\n\r\n")


def test_signed_content_is_not_touched(world):
    remote = world.remote(number=1)
    receive(world, "one@example.test", message=SIGNED)
    got = remote.wait_messages(1)[0]
    assert got.data.endswith(SIGNED), got.data.decode()
    front = got.data[:-len(SIGNED)].decode()
    names = {line.partition(":")[0].lower() for line in re.split(r"\r\n(?![ \t])", front) if line}
    assert "received" in names and names <= {"received", "delivered-to", "authentication-results", "x-forwarded-to", "arc-seal", "arc-message-signature",
                                             "arc-authentication-results"}, front


def test_8_bit_text_that_cannot_be_converted_comes_back(world):
    remote = world.remote(number=4, extensions=("SIZE 1000000",))
    message = SIGNED.replace(b"MIME", b"MIME").replace(b"From:", b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\nContent-Type: text/plain; "
                                                       b"charset=utf-8\r\nFrom:").replace(b"Body", "Größe".encode())
    back = world.remote()
    receive(world, "eight@example.test", sender=f"someone@{back.domain}", message=message, parameters=" BODY=8BITMIME")
    note = Notification(back.wait_messages(1)[0].data)
    assert note.recipients[0]["Status"] == "5.6.3"
    assert not remote.offered


def test_our_own_senders_stay(world):
    remote = world.remote(number=1)
    user = world.new_user()
    world.send(user, "one@example.test")
    assert remote.wait_messages(1)[0].sender == user


def test_the_null_sender_stays(world):
    remote = world.remote(number=1)
    receive(world, "one@example.test", sender="")
    assert remote.wait_messages(1)[0].sender == ""


# ---- loops ----

def test_a_message_that_has_gone_round(world):
    remote = world.remote(number=6)
    begin = mail.plain(to="back@example.test")
    received = b"".join(b"Received: from a%d.example by b%d.example; Sat, 21 Nov 2026 03:42:49 +0000\r\n" % (n, n) for n in range(120))
    reply = world.receive("back@example.test", received + begin)
    assert reply.code in (250, 554), reply
    time.sleep(1.5)
    assert not remote.kept
    if reply.code == 554:
        assert "5.4.6" in reply.text


def test_what_we_forwarded_and_comes_back_stops(world):
    """back@ leads to ring@r6.test, and r6 sends everything back to back@."""
    remote = world.remote(number=6)
    receive(world, "back@example.test")
    for round_ in range(1, 6):
        remote.wait_messages(round_) if round_ == 1 else time.sleep(0.5)
        got = remote.kept[-1]
        reply = world.receive("back@example.test", got.data, sender=got.sender)
        if reply.code != 250:
            assert reply.code == 554 and "5.4.6" in reply.text, reply
            return
        if len(remote.kept) < round_ + 1:
            time.sleep(1)
            if len(remote.kept) < round_ + 1:
                return  # taken and returned to its sender, not sent round again
    raise AssertionError("the message goes round for ever")


# ---- bounces ----

def test_a_bounce_finds_its_way_home(world):
    """Forwarded, accepted there, bounced there to the SRS address: it reaches the original sender."""
    remote, home = world.remote(number=1), world.remote()
    receive(world, "one@example.test", sender=f"author@{home.domain}")
    srs = remote.wait_messages(1)[0].sender
    receive(world, srs, sender="", message=mail.plain(to=srs, subject="Undelivered Mail"))
    got = home.wait_messages(1)[0]
    assert got.to == [f"author@{home.domain}"] and got.sender == ""


def test_a_refused_forward_is_told_to_the_author(world):
    remote, home = world.remote(number=3, script={"rcpt": "550 5.1.1 gone"}), world.remote()
    receive(world, "refuses@example.test", sender=f"author@{home.domain}")
    got = home.wait_messages(1)[0]
    assert got.to == [f"author@{home.domain}"] and got.sender == ""
    note = Notification(got.data)
    assert note.of("refuses@example.test")["Status"] == "5.1.1"
    assert b"a@r3.test" not in got.data, "a bounce does not betray where mail is forwarded to"
    assert remote.sessions


@pytest.mark.parametrize("domain, said", [("exämple.test", True), ("no domain", True), ("xn--exmple-cua.test", False)])
def test_a_domain_for_rewritten_senders_that_cannot_be_one(make_world, domain, said):
    world = make_world()
    world.options["srs"] = {"domain": domain, "secret_file": world.folder / "srs"}
    (world.folder / "srs").write_text("a secret that is long enough\n")
    server = Server(world.folder / "check", world.certs, world.accounts, **world.options)
    done = server.command("check", check=False)
    assert ("srs.domain is no domain" in done.stdout + done.stderr) == said


@pytest.mark.parametrize("address", ["SRS0=aaaa=JK=victim.example=user@example.test", "SRS0=user@example.test", "SRS1=aaaa=x.example==bbbb=JK=victim.example=user@example.test",
                                     "srs0+aaaa=jk=victim.example=user@example.test"])
def test_addresses_we_did_not_sign_are_not_rewritten_back(world, address):
    with Smtp(world.server.ports["mx"]) as client:
        client.ehlo()
        client.cmd("MAIL FROM:<>")
        assert client.cmd(f"RCPT TO:<{address}>").code == 550
    assert world.rows() == []


def test_spam_need_not_be_forwarded(world):
    """No open relay by way of aliases: a stranger reaches only what aliases name."""
    with Smtp(world.server.ports["mx"]) as client:
        client.ehlo()
        client.cmd("MAIL FROM:<a@far.example>")
        for address in ("a@r1.test", "a%r1.test@example.test", "@example.test:a@r1.test", "one@example.test@r1.test"):
            assert client.cmd(f"RCPT TO:<{address}>").code >= 500, address
