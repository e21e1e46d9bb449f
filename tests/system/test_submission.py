"""Submission by the owners of accounts (RFC 6409, RFC 4954)."""
import base64
import re
import smtplib
import ssl

import mail
import pytest

SERVER = {
    "domains": [{"name": "example.test"}, {"name": "catch.test", "catch_all": "t160@example.test"}],
    "aliases": "sales@example.test t161@example.test\n",
}


def logged_in(smtp, user, listener="smtps"):
    client = smtp(listener, tls=True)
    client.ehlo()
    reply = client.auth_plain(user.address, user.password)
    assert reply.code == 235 and reply.text.startswith("2.7.0"), reply
    return client


def one(imap, user):
    client = imap(user)
    client.wait_messages(1)
    client.ok("SELECT INBOX")
    return client.ok("FETCH 1 BODY[]").untagged[0]


def test_auth_only_under_tls(smtp):
    client = smtp("submission")
    assert not any(line.startswith("AUTH") for line in client.ehlo())
    assert client.auth_plain("t0@example.test", "pw-0").code in (502, 503, 530, 538)
    offered = client.starttls()
    mechanisms = next(line for line in offered if line.startswith("AUTH ")).split()[1:]
    assert {"PLAIN", "LOGIN"} <= set(mechanisms)


def test_insecure_auth_listener(smtp, user):
    client = smtp("submission-plain")
    assert any(line.startswith("AUTH ") for line in client.ehlo())
    assert client.auth_plain(user.address, user.password).code == 235


def test_auth_is_demanded_before_mail(smtp):
    client = smtp("smtps", tls=True)
    client.ehlo()
    reply = client.cmd("MAIL FROM:<t0@example.test>")
    assert reply.code == 530 and reply.text.startswith("5.7.0"), reply


def test_login_mechanism(smtp, user):
    client = smtp("smtps", tls=True)
    client.ehlo()
    assert client.cmd("AUTH LOGIN").code == 334
    assert client.cmd(base64.b64encode(user.address.encode())).code == 334
    assert client.cmd(base64.b64encode(user.password.encode())).code == 235
    assert client.cmd("AUTH LOGIN").code == 503, "only once"


def test_plain_in_two_steps_and_authzid(smtp, user):
    client = smtp("smtps", tls=True)
    client.ehlo()
    assert client.cmd("AUTH PLAIN").code == 334
    blob = f"{user.address}\0{user.address}\0{user.password}".encode()
    assert client.cmd(base64.b64encode(blob)).code == 235


def test_foreign_authzid_is_refused(smtp, user):
    client = smtp("smtps", tls=True)
    client.ehlo()
    assert client.auth_plain(user.address, user.password, authzid="other@example.test").code == 535


@pytest.mark.parametrize("line", ["*", "not base64!", base64.b64encode(b"no nul").decode(), "="])
def test_bad_and_cancelled_answers(smtp, line):
    client = smtp("smtps", tls=True)
    client.ehlo()
    assert client.cmd("AUTH PLAIN").code == 334
    assert client.cmd(line).code in (501, 535)
    assert client.cmd("NOOP").code == 250


def test_wrong_password_and_unknown_user(smtp, user):
    client = smtp("smtps", tls=True)
    client.ehlo()
    first = client.auth_plain(user.address, "wrong")
    assert first.code == 535 and first.text.startswith("5.7.8"), first
    second = client.auth_plain("nobody@example.test", "wrong")
    assert (second.code, second.text) == (first.code, first.text), "both look the same"
    assert client.auth_plain(user.address, user.password).code == 235


def test_scram_is_offered_only_where_every_account_has_a_verifier(make_server):
    """A plain password can be made into one, a crypt hash cannot."""
    from wire import Smtp
    hashed = {"a@example.test": "$6$saltsalt$" + "x" * 86, "b@example.test": "plain"}
    for accounts, wanted in (({"a@example.test": "plain"}, True), (hashed, False)):
        server = make_server(accounts=accounts, listeners=["smtps"]).start()
        with Smtp(server.ports["smtps"], tls=True) as client:
            offered = next(line for line in client.ehlo() if line.startswith("AUTH "))
        assert ("SCRAM-SHA-256" in offered) == wanted, offered


def test_a_message_goes_to_a_local_user(smtp, imap, new_user):
    sender, receiver = new_user(), new_user()
    client = logged_in(smtp, sender)
    assert client.deliver(sender.address, [receiver.address], mail.plain(sender=sender.address)).code == 250
    text = one(imap, receiver)
    assert b"ESMTPSA" in text or b"Received:" not in text


def test_missing_date_and_message_id_are_added_and_bcc_dropped(smtp, imap, new_user):
    sender, receiver = new_user(), new_user()
    client = logged_in(smtp, sender)
    bare = (f"From: {sender.address}\r\nTo: x@example.test\r\nBcc: secret@example.test,\r\n more@example.test\r\n"
            "User-Agent: client\r\nX-Originating-IP: [192.0.2.1]\r\nX-Mailer: y\r\nSubject: s\r\n\r\ntext\r\n")
    assert client.deliver(sender.address, [receiver.address], bare).code == 250
    text = one(imap, receiver)
    assert re.search(rb"^Date: ", text, re.M | re.I) and re.search(rb"^Message-ID: <[^>]+@[^>]+>", text, re.M | re.I)
    for gone in (b"Bcc", b"secret@", b"more@", b"X-Originating-IP", b"User-Agent", b"X-Mailer", b"127.0.0.1"):
        assert gone not in text, gone


def test_sender_must_be_ones_own(smtp, new_user):
    sender, other = new_user(), new_user()
    client = logged_in(smtp, sender)
    reply = client.cmd(f"MAIL FROM:<{other.address}>")
    if reply.code == 250:
        reply = client.cmd(f"RCPT TO:<{sender.address}>")
    assert reply.code in (550, 553) and reply.text.startswith("5.7.1"), reply


def test_header_from_must_be_ones_own(smtp, new_user):
    sender, other = new_user(), new_user()
    client = logged_in(smtp, sender)
    reply = client.deliver(sender.address, [sender.address], mail.plain(sender=other.address))
    assert reply.code in (550, 553, 554) and reply.text.startswith("5.7.1"), reply


def test_catch_all_owner_owns_free_addresses_and_aliases(smtp):
    from conftest import ACCOUNTS, User
    owner = User("t160@example.test", ACCOUNTS["t160@example.test"])
    client = logged_in(smtp, owner)
    message = mail.plain(sender="anything@catch.test")
    assert client.deliver("anything@catch.test", [owner.address], message).code == 250
    holder = User("t161@example.test", ACCOUNTS["t161@example.test"])
    client = logged_in(smtp, holder)
    assert client.deliver("sales@example.test", [owner.address], mail.plain(sender="sales@example.test")).code == 250


def test_sender_identity_log(make_server):
    from wire import Smtp
    server = make_server(listeners=["smtps"], sender_identity="log").start()
    client = Smtp(server.ports["smtps"], tls=True)
    client.ehlo()
    assert client.auth_plain("t1@example.test", "pw-1").code == 235
    assert client.deliver("t2@example.test", ["t3@example.test"], mail.plain(sender="t2@example.test")).code == 250
    server.wait_log(r"t2@example\.test")


def test_smtplib(server, imap, new_user):
    sender, receiver = new_user(), new_user()
    context = ssl.create_default_context(cafile=str(server.config["tls"][0]["cert"]))
    with smtplib.SMTP("localhost", server.ports["submission"], timeout=10) as client:
        client.starttls(context=context)
        client.login(sender.address, sender.password)
        client.sendmail(sender.address, [receiver.address], mail.plain(sender=sender.address))
    with smtplib.SMTP_SSL("localhost", server.ports["smtps"], context=context, timeout=10) as client:
        client.login(sender.address, sender.password)
        client.sendmail(sender.address, [receiver.address], mail.plain(sender=sender.address))
    imap(receiver).wait_messages(2)
