"""URLAUTH (RFC 4467): URLs of one message or a part of it, given to others, and taken back."""
import datetime
import re

import mail
import pytest

HOST = "mail.example.test"


@pytest.fixture
def owner(imap, user):
    client = imap(user)
    client.user, client.whole = user, mail.multipart("to be read by others")
    assert client.append("INBOX", client.whole).status == "OK"
    client.validity = client.ok("SELECT INBOX").find(rb"UIDVALIDITY (\d+)")[1].decode()
    return client


def url(client, rest="/;UID=1", access="authuser", mailbox="INBOX", user=None, host=HOST):
    user = user or client.user.address.replace("@", "%40")
    return f"imap://{user}@{host}/{mailbox}{rest};URLAUTH={access}"


def sign(client, *rumps):
    answer = client.ok("GENURLAUTH " + " ".join(f'"{rump}" INTERNAL' for rump in rumps))
    row = answer.find(rb"^\* GENURLAUTH (.*)$")[1].decode()
    made = re.findall(r'"([^"]*)"', row)
    assert len(made) == len(rumps)
    for rump, whole in zip(rumps, made):
        assert re.fullmatch(re.escape(rump) + r":internal:[0-9a-f]{64}", whole), whole
    return made if len(made) > 1 else made[0]


def fetch(client, *urls):
    """The octets of each URL, None for NIL."""
    answer = client.ok("URLFETCH " + " ".join(f'"{one}"' for one in urls))
    rows = []
    for one, line in zip(urls, answer.untagged):
        head = f'* URLFETCH "{one}" '.encode()
        assert line.startswith(head), line
        rest = line[len(head):]
        rows.append(None if rest == b"NIL" else rest.partition(b"}\r\n")[2])
        assert rest == b"NIL" or int(rest[1:rest.index(b"}")]) == len(rows[-1])
    assert len(rows) == len(urls)
    return rows if len(rows) > 1 else rows[0]


def test_who_is_given_the_url_reads_what_it_names(owner, imap, new_user):
    words = owner.ok("CAPABILITY").untagged[0].decode().split()
    assert "URLAUTH" in words
    assert owner.ok("EXAMINE INBOX").find(rb"\* OK \[URLMECH INTERNAL\]")
    owner.ok("SELECT INBOX")
    head, _, text = owner.whole.partition(b"\r\n\r\n")
    stranger = imap(new_user())
    part = owner.ok("FETCH 1 BODY.PEEK[1.2]").untagged[0].partition(b"}\r\n")[2][:-1]
    local, domain = owner.user.address.split("@")
    cases = [(url(owner), owner.whole), (url(owner, "/;UID=1/;SECTION=1.2"), part), (url(owner, "/;uid=1/;section=TEXT"), text),
             (url(owner, f";UIDVALIDITY={owner.validity}/;UID=1/;SECTION=HEADER"), head + b"\r\n\r\n"),
             (url(owner, "/;UID=1/;PARTIAL=10.20", access="anonymous"), owner.whole[10:30]),
             (url(owner, "/;uid=1", user=local, host=domain), owner.whole),
             (url(owner, "/;UID=1/;SECTION=HEADER.FIELDS%20(SUBJECT)"), b"Subject: to be read by others\r\n\r\n")]
    made = sign(owner, *(rump for rump, _ in cases))
    assert fetch(stranger, *made) == [wanted for _, wanted in cases]
    assert fetch(owner, *made) == [wanted for _, wanted in cases]
    assert not owner.ok("FETCH 1 FLAGS").find(rb"\\Seen")


def test_for_one_user_only(owner, imap, new_user):
    friend, other = new_user(), new_user()
    escaped = friend.address.replace("@", "%40")
    made = [sign(owner, url(owner, access=access)) for access in
            (f"user+{escaped}", f"user+{friend.address.split('@')[0]}", f"user+{friend.address}")]
    assert fetch(imap(friend), *made) == [owner.whole] * 3
    assert fetch(imap(other), *made) == [None] * 3
    assert fetch(owner, *made) == [None] * 3
    submit = sign(owner, url(owner, access="submit+fred"))
    assert fetch(owner, submit) is None and fetch(imap(friend), submit) is None, "for submission servers"


def test_expiry(owner):
    now = datetime.datetime.now(datetime.timezone.utc)

    def moment(seconds):
        return (now + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    late = sign(owner, url(owner, f"/;UID=1;EXPIRE={moment(-5)}"))
    early = sign(owner, url(owner, f"/;UID=1;EXPIRE={moment(3600)}"))
    assert fetch(owner, late, early) == [None, owner.whole]
    assert fetch(owner, early.replace(moment(3600), moment(7200))) is None, "the time is signed too"


def test_whatever_was_changed_is_refused(owner, imap, new_user):
    owner.append("INBOX", mail.plain())
    good = sign(owner, url(owner))
    stranger = imap(new_user())
    changed = [good[:-1] + ("0" if good[-1] != "0" else "1"), good[:-2], good + "00", good.replace("UID=1", "UID=2"),
               good.replace("authuser", "anonymous"), good.replace("INBOX", "Sent"), good.replace("/;UID", "/;uid"),
               good.replace("imap://", "IMAP://"), good.replace(":internal:", ":external:"), good.partition(":internal")[0],
               good.replace(owner.user.address.replace("@", "%40"), new_user().address.replace("@", "%40")),
               good.replace(HOST, "elsewhere.example.test"), good.replace("/;UID=1", "/;UID=1/;SECTION=1"), "x", "",
               good.replace(owner.user.address.replace("@", "%40"), "..%2f..%2fetc"), good[len("imap://"):]]
    assert fetch(stranger, good, *changed) == [owner.whole] + [None] * len(changed)
    assert fetch(owner, good.replace(":internal:", ":INTERNAL:")) == owner.whole


def test_keys_are_taken_back(owner, imap, new_user):
    owner.append("Drafts", mail.plain())
    inbox, drafts = sign(owner, url(owner)), sign(owner, url(owner, mailbox="Drafts"))
    stranger = imap(new_user())
    assert fetch(stranger, inbox, drafts).count(None) == 0
    assert "[URLMECH INTERNAL]" in owner.ok("RESETKEY INBOX INTERNAL").text
    assert fetch(stranger, inbox) is None and fetch(stranger, drafts) is not None
    again = sign(owner, url(owner))
    assert again != inbox and fetch(stranger, again, drafts).count(None) == 0
    owner.ok("RESETKEY")
    assert fetch(stranger, again, drafts) == [None, None]
    assert owner.cmd("RESETKEY Nowhere").status == "NO"
    assert owner.cmd("RESETKEY INBOX XSAMPLE").status == "NO"


def test_messages_and_mailboxes_that_go(owner, imap, new_user):
    stranger = imap(new_user())
    owner.ok("CREATE work")
    owner.append("work", owner.whole)
    made = sign(owner, url(owner, mailbox="work"))
    assert fetch(stranger, made) == owner.whole
    owner.ok("DELETE work")
    assert fetch(stranger, made) is None
    owner.ok("CREATE work")
    owner.append("work", owner.whole)
    assert fetch(stranger, made) is None, "another mailbox of that name has another key"
    gone = sign(owner, url(owner))
    owner.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    owner.ok("EXPUNGE")
    assert fetch(stranger, gone) is None


@pytest.mark.parametrize("command, status", [
    ('GENURLAUTH "{rump}" XSAMPLE', "NO"), ('GENURLAUTH "/INBOX/;UID=1;URLAUTH=authuser" INTERNAL', "BAD"),
    ('GENURLAUTH "imap://u@h/INBOX/;UID=1" INTERNAL', "BAD"), ('GENURLAUTH "{rump}"', "BAD"), ("GENURLAUTH", "BAD"), ("URLFETCH", "BAD"),
    ('GENURLAUTH "{rump}:internal:91354a473744909de610943775f92038" INTERNAL', "BAD"),
    ('GENURLAUTH "imap://somebody%40example.test@mail.example.test/INBOX/;UID=1;URLAUTH=authuser" INTERNAL', "NO"),
    ('GENURLAUTH "imap://mail.example.test/INBOX/;UID=1;URLAUTH=authuser" INTERNAL', "NO"),
    ('GENURLAUTH "{nowhere}" INTERNAL', "NO"), ('GENURLAUTH "{elsewhere}" INTERNAL', "NO"),
    ('URLFETCH "%s"' % ("x" * 5000), "BAD"), ("URLFETCH " + " x" * 33, "BAD"),
])
def test_refusals(owner, command, status):
    command = command.format(rump=url(owner), nowhere=url(owner, mailbox="Nowhere"), elsewhere=url(owner, host="other.test"))
    assert owner.cmd(command).status == status
    owner.ok("NOOP")


def test_an_account_nobody_has_is_not_made(owner, server):
    made = sign(owner, url(owner)).replace(owner.user.address.replace("@", "%40"), "nobody%40example.test")
    assert fetch(owner, made) is None
    assert not (server.home / "data/store/accounts/nobody@example.test").exists()


def test_nul_and_large(owner, imap, new_user):
    message = b"Subject: x\r\n\r\na\0b\r\n"
    owner.send(b"a APPEND INBOX ~{%d+}\r\n%s\r\n" % (len(message), message))
    assert owner.until(b"a").status == "OK"
    big = mail.plain(body="line of text\r\n" * 500_000)
    owner.append("INBOX", big)
    made = sign(owner, url(owner, "/;UID=2"), url(owner, "/;UID=3"), url(owner, "/;UID=3/;PARTIAL=100000.5"))
    assert fetch(imap(new_user()), *made, *made) == [message.replace(b"\0", b"\x80"), big, big[100000:100005]] * 2


def test_kept_over_a_restart(make_server):
    from wire import Imap
    server = make_server(listeners=["imap"]).start()
    client = Imap(server.ports["imap"])
    client.login("t5@example.test", "pw-5")
    client.append("INBOX", mail.plain())
    made = sign(client, f"imap://t5%40example.test@{HOST}/INBOX/;UID=1;URLAUTH=authuser")
    server.stop()
    server.start()
    client = Imap(server.ports["imap"])
    client.login("t6@example.test", "pw-6")
    assert fetch(client, made) == mail.plain() or fetch(client, made)
