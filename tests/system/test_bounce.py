"""Delivery status notifications (RFC 3461 to 3464): who is told what, and who is not."""
import re
import time

import mail
import pytest
from world import Notification
from peers.smtpserver import EXTENSIONS

POSTMASTER = "t190@example.test"


def WORLD(certs, folder):
    return {"aliases": f"postmaster@example.test {POSTMASTER}\nsales@example.test t191@example.test\n"}


def refusing(world, text="550 5.1.1 no such user here", **options):
    return world.remote(script={"rcpt": text}, **options)


def test_a_failure_is_told_to_the_sender(world):
    remote = refusing(world)
    user = world.new_user()
    ident, word = world.send(user, remote.address(), subject="about the roof")
    note = world.bounce(user)
    message = note.message
    assert message["To"].count(user) and re.search(r"mailer-daemon|postmaster", message["From"], re.I)
    assert message["Auto-Submitted"] == "auto-replied" and message["Date"] and message["Message-ID"]
    assert re.match(rb"Return-Path: <>\r\n", note.raw)
    assert note.about["Reporting-MTA"] == "dns;mail.example.test" or note.about["Reporting-MTA"] == "dns; mail.example.test"
    assert note.about["Arrival-Date"]
    entry = note.of(remote.address())
    assert entry["Action"] == "failed" and entry["Status"] == "5.1.1"
    assert f"mx.{remote.domain}" in entry["Remote-MTA"]
    assert entry["Diagnostic-Code"].startswith("smtp;") and "550 5.1.1 no such user here" in entry["Diagnostic-Code"]
    assert remote.address() in note.text and len(note.text) > 200 and "no such user here" in note.text
    assert b"about the roof" in note.returned
    assert re.search(r"^ +Subject: about the roof\s*$", note.text, re.M), note.text
    world.wait_gone(remote.address())


@pytest.mark.parametrize("text,status", [("550 5.7.1 blocked as spam", "5.7.1"), ("552 5.2.2 mailbox full", "5.2.2"), ("550 go away", r"5\.\d\.\d"),
                                         ("554 5.7.1 <evil> ünïcode \"quoted\"", "5.7.1"), ("553 2.0.0 wrong class", r"5\.\d\.\d")])
def test_whatever_the_other_side_says(world, text, status):
    remote = refusing(world, text)
    user = world.new_user()
    world.send(user, remote.address())
    note = world.bounce(user)
    assert re.fullmatch(status, note.of(remote.address())["Status"])
    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", note.raw)


def test_a_refused_sender_a_refused_message(world):
    user = world.new_user()
    for script in ({"mail": "550 5.7.1 not from you"}, {"data": "554 5.6.0 no"}, {"body": "554 5.7.1 content refused"}):
        remote = world.remote(script=script)
        user = world.new_user()
        world.send(user, [remote.address("a"), remote.address("b")])
        note = world.bounce(user)
        assert len(note.recipients) == 2, "one notification for all recipients of a message"


@pytest.mark.parametrize("parameters,expected", [(" NOTIFY=NEVER", 0), (" NOTIFY=SUCCESS", 0), (" NOTIFY=DELAY", 0), (" NOTIFY=FAILURE", 1), ("", 1)])
def test_notify(world, parameters, expected):
    remote = refusing(world)
    user = world.new_user()
    world.send(user, remote.address(), rcpt_parameters=parameters)
    world.wait_gone(remote.address())
    if expected:
        world.bounce(user)
    else:
        time.sleep(1)
        assert world.inbox(user) == []


def test_ret_envid_orcpt(world):
    remote = refusing(world)
    for ret, whole in ((" RET=FULL", True), (" RET=HDRS", False)):
        user = world.new_user()
        _, word = world.send(user, remote.address(), mail_parameters=f"{ret} ENVID=QQ+2B314159", rcpt_parameters=" ORCPT=rfc822;first+2Baddress@example.com")
        note = world.bounce(user)
        assert note.about["Original-Envelope-Id"] == "QQ+314159"
        assert note.recipients[0]["Original-Recipient"].replace(" ", "") == "rfc822;first+address@example.com"
        assert (word.encode() in note.raw) == whole
        assert note.original.get_content_type() == ("message/rfc822" if whole else "text/rfc822-headers")


def test_parameters_are_handed_on(world):
    remote = world.remote()
    world.send(world.new_user(), remote.address(), mail_parameters=" RET=HDRS ENVID=abc", rcpt_parameters=" NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x@y.example")
    got = remote.wait_messages(1)[0]
    assert got.parameters["RET"] == "HDRS" and got.parameters["ENVID"] == "abc"
    parameters = got.recipients[0][1]
    assert parameters["ORCPT"] == "rfc822;x@y.example" and set(parameters["NOTIFY"].split(",")) == {"SUCCESS", "FAILURE"}


def test_the_type_of_the_original_recipient_stays(world):
    remote, bad, user = world.remote(), refusing(world), world.new_user()
    for server in (remote, bad):
        world.send(user, server.address(), rcpt_parameters=" ORCPT=X400;/C+3Dde/S+3DJo/")
    assert remote.wait_messages(1)[0].recipients[0][1]["ORCPT"] == "X400;/C+3Dde/S+3DJo/"
    assert world.bounce(user).recipients[0]["Original-Recipient"].replace(" ", "") == "X400;/C=de/S=Jo/"


def test_success_is_told_where_the_other_side_will_not(world):
    remote = world.remote(extensions=[line for line in EXTENSIONS if line != "DSN"])
    user = world.new_user()
    world.send(user, remote.address(), rcpt_parameters=" NOTIFY=SUCCESS,FAILURE")
    remote.wait_messages(1)
    assert world.bounce(user).of(remote.address())["Action"] == "relayed"


def test_success_in_our_own_mailbox(world):
    user, other = world.new_user(), world.new_user()
    world.send(user, other, rcpt_parameters=" NOTIFY=SUCCESS")
    assert world.bounce(user).of(other)["Action"] == "delivered"


def test_a_utf8_address(world):
    remote = refusing(world)
    user = world.new_user()
    to = f"größe@{remote.domain}"
    world.send(user, to, mail.plain(sender=user, to=to, subject="Grüße"), mail_parameters=" SMTPUTF8 BODY=8BITMIME")
    note = world.bounce(user)
    raw = note.raw.decode("utf-8")
    assert "größe" in note.text
    assert "utf-8;" in raw.lower() or "utf-8 ;" in raw.lower()


def test_a_notification_that_cannot_be_delivered_goes_to_the_postmaster(world):
    """Mail from outside to an alias that leads elsewhere; elsewhere refuses; the sender cannot be told either."""
    remote = refusing(world)
    user = world.new_user()
    world.send(user, remote.address())
    assert world.bounce(user)
    before = len(world.inbox(POSTMASTER))
    # a message whose sender is a domain that takes nothing back
    gone = refusing(world, "550 5.1.1 nobody")
    world.server.home.joinpath("virtual.cf").write_text(f"postmaster@example.test {POSTMASTER}\nout@example.test {remote.address()}\n")
    world.server.command("reload", check=False)
    time.sleep(1)
    reply = world.receive("out@example.test", mail.plain(to="out@example.test", sender=f"lost@{gone.domain}"), sender=f"lost@{gone.domain}")
    assert reply.code == 250
    deadline = time.monotonic() + 20
    while len(world.inbox(POSTMASTER)) == before:
        assert time.monotonic() < deadline, (world.rows(), world.told())
        time.sleep(0.2)
    assert gone.sessions, "its sender was to be told"
    time.sleep(1)
    assert world.rows() == []


def test_null_senders_are_never_answered(world):
    """A notification for one of ours that was forwarded, and refused there: nobody hears of it but the postmaster."""
    remote = refusing(world)
    world.server.home.joinpath("virtual.cf").write_text(f"postmaster@example.test {POSTMASTER}\nnulls@example.test {remote.address()}\n")
    world.server.command("reload", check=False)
    time.sleep(1)
    reply = world.receive("nulls@example.test", mail.plain(to="nulls@example.test", sender="MAILER-DAEMON@far.example"), sender="")
    assert reply.code == 250
    remote.wait(lambda: any("RCPT" in line for session in remote.sessions for line in session.commands), what="an attempt")
    world.wait_gone(remote.address())
    time.sleep(1)
    assert not [session for session in remote.sessions if any("MAIL FROM:<MAILER" in line for line in session.commands)]


def test_strangers_get_no_bounces(world):
    """Unknown recipients are refused at RCPT: nothing is ever returned to a forged sender."""
    from wire import Smtp
    with Smtp(world.server.ports["mx"]) as client:
        client.ehlo()
        client.cmd("MAIL FROM:<victim@r1.test>")
        assert client.cmd("RCPT TO:<nobody-here@example.test>").code == 550
        assert client.cmd("RCPT TO:<somebody@r1.test>").code in (550, 554)
    assert world.rows() == []


def test_hostile_subjects_and_senders(world):
    remote = refusing(world)
    user = world.new_user()
    message = mail.plain(sender=user, to=remote.address(), subject="=?utf-8?q?evil=0D=0ABcc:_x@y.example?=", X_Odd="y" * 900)
    world.send(user, remote.address(), message)
    note = world.bounce(user)
    assert not re.search(rb"(?m)^Bcc:", note.raw)


def test_an_encoded_subject_is_named_decoded(world):
    remote = refusing(world)
    user = world.new_user()
    message = mail.plain(sender=user, to=remote.address(), subject="=?utf-8?q?Gr=C3=BC=C3=9Fe?= an alle")
    world.send(user, remote.address(), message)
    note = world.bounce(user)
    assert re.search(r"^ +Subject: Grüße an alle\s*$", note.text, re.M), note.text


def test_python_reads_every_notification(world):
    """The whole of it parses without defects."""
    remote = refusing(world)
    user = world.new_user()
    world.send(user, remote.address(), body="Grüße\r\n")
    note = Notification(world.wait_inbox(user)[0])
    defects = [part.defects for part in note.message.walk() if part.defects]
    assert not defects, (defects, note.raw.decode("utf-8", "replace"))


def test_kills_lose_no_notification(world):
    """The queue role dies again and again while notifications are written: each sender is told, and once."""
    remote = refusing(world)
    users = [world.new_user() for _ in range(24)]
    for user in users:
        world.send(user, [remote.address(f"{user.split('@')[0]}-{n}") for n in range(2)])
        if user in users[::4]:
            world.kill_role("queue")
    for user in users:
        assert len(world.bounce(user, timeout=40).recipients) >= 1
    assert world.rows() == []
