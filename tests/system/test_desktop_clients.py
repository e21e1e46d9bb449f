"""Mail programs of desktops: Thunderbird, neomutt, offlineimap. Only where `./dev test --clients` has fetched them."""
import os
import time

import mail
import peers
import pytest
from peers.thunderbird import Thunderbird
from rockdove import free_port
from test_clients import certificate, home, in_terminal, run  # noqa: F401

SERVER = {"listeners": ["mx", "imap", "imaps", "submission", "metrics", "pop3", "pop3s"]}
pytestmark = pytest.mark.skipif(bool(peers.clients_missing_reason()), reason=str(peers.clients_missing_reason()))


@pytest.fixture(scope="module")
def bird(scratch):
    """One Thunderbird for the file: starting it is most of the time. A test adds its account and removes it."""
    bird = Thunderbird(scratch / "thunderbird", free_port())
    try:
        yield bird.start()
    finally:
        bird.stop()


@pytest.fixture
def thunderbird(bird, server, user):
    """thunderbird(kind="imap", **settings): the program with one account, of this test's user."""
    def open_account(kind="imap", **settings):
        bird.add_account(kind, user, server.ports["imaps" if kind == "imap" else "pop3s"], certificate(server), **settings)
        return bird
    yield open_account
    bird.run("""for (const account of [...MailServices.accounts.accounts])
        if (["imap", "pop3"].includes(account.incomingServer.type)) MailServices.accounts.removeAccount(account, true);""")


@pytest.fixture
def box(imap, user):
    """An IMAP session to look from the other side, and to put messages there."""
    client = imap(user)

    def put(*messages, mailbox="INBOX", flags=""):
        for message in messages:
            answer = client.append(mailbox, message, flags)
            assert answer.status == "OK", answer
    client.put = put
    return client


def subjects(client, mailbox):
    client.ok(f'EXAMINE "{mailbox}"')
    return sorted(match[1].decode() for match in client.ok("FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]").all(rb"Subject: ([^\r\n]+)"))


def flags_of(client, mailbox, subject):
    subjects(client, mailbox)
    found = client.ok(f'SEARCH SUBJECT "{subject}"').find(rb"SEARCH (\d+)")[1].decode()
    return client.ok(f"FETCH {found} FLAGS").find(rb"FLAGS \(([^)]*)\)")[1].decode().split()


def wait_for(question, timeout=20):
    deadline = time.monotonic() + timeout
    while not (answer := question()):
        assert time.monotonic() < deadline, question
        time.sleep(0.1)
    return answer


# ---- Thunderbird ----

OPEN = """
    const server = serverOf("imap");
    server.performExpand(null);
    const inbox = await until("INBOX", () => folder("INBOX"));
    await url(l => inbox.getNewMessages(null, l));
    """


def test_thunderbird_lists_and_reads(thunderbird, box):
    parts = mail.multipart(subject="größer")
    box.put(mail.plain(subject="one", body="first text\r\n"), parts)
    bird = thunderbird()
    folders, seen, text, flags = bird.run(OPEN + """
        const one = bySubject(inbox, "one"), text = await source(one);
        inbox.markMessagesRead([one], true); inbox.markMessagesFlagged([one], true);
        return [server.rootFolder.descendants.map(f => [f.name, f.isSpecialFolder(Ci.nsMsgFolderFlags.Junk, false),
                f.isSpecialFolder(Ci.nsMsgFolderFlags.SentMail, false)]), headers(inbox).map(h => h.mime2DecodedSubject), text,
                [one.messageSize > 0, one.isRead]];""")
    assert {name for name, *_ in folders} >= {"INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"}
    assert ["Junk", True, False] in folders and ["Sent", False, True] in folders, "special-use is understood"
    assert sorted(seen) == ["größer", "one"] and "first text" in text and flags == [True, True]
    wait_for(lambda: {"\\Seen", "\\Flagged"} <= set(flags_of(box, "INBOX", "one")))
    assert "\\Seen" not in flags_of(box, "INBOX", "gr")


def test_thunderbird_moves_copies_and_deletes(thunderbird, box):
    box.put(*(mail.plain(subject=f"m{n}") for n in range(6)))
    bird = thunderbird()
    left = bird.run(OPEN + """
        const copy = (subjects, to, move) => copied(l =>
            MailServices.copy.copyMessages(inbox, subjects.map(s => bySubject(inbox, s)), folder(to), move, l, null, false));
        await copy(["m0", "m1"], "Junk", true);
        await copy(["m2"], "Archive", false);
        await copied(l => inbox.deleteMessages([bySubject(inbox, "m3")], null, false, false, l, false));
        await copied(l => inbox.deleteMessages([bySubject(inbox, "m4")], null, true, false, l, false)).catch(() => {});
        return await until("the INBOX", () => { const s = headers(inbox).map(h => h.mime2DecodedSubject).sort(); return s.length == 2 && s; });""")
    assert left == ["m2", "m5"]
    wait_for(lambda: subjects(box, "Junk") == ["m0", "m1"])
    wait_for(lambda: subjects(box, "Trash") == ["m3"])
    assert subjects(box, "Archive") == ["m2"]


def test_thunderbird_searches_on_the_server(thunderbird, box):
    word = mail.marker()
    box.put(mail.plain(subject="nothing"), mail.plain(subject="in the text", body=f"so {word} it is\r\n"),
            mail.plain(subject=f"{word} in the subject"))
    bird = thunderbird()
    search = OPEN + """
        const [where, word] = words;
        const session = Cc["@mozilla.org/messenger/searchSession;1"].createInstance(Ci.nsIMsgSearchSession);
        session.addScopeTerm(Ci.nsMsgSearchScope.onlineMail, inbox);
        const term = session.createTerm(), value = term.value;
        term.attrib = value.attrib = Ci.nsMsgSearchAttrib[where]; value.str = word; term.value = value;
        term.op = Ci.nsMsgSearchOp.Contains; term.booleanAnd = true; session.appendTerm(term);
        const found = [];
        await new Promise(done => { const listener = { onSearchHit(h) { found.push(h.mime2DecodedSubject); },
            onSearchDone() { done(); }, onNewSearch() {} }; keep.add(listener); session.registerListener(listener); session.search(null); });
        return found;"""
    assert bird.run(search, "Body", word) == ["in the text"]
    assert bird.run(search, "Subject", word) == [f"{word} in the subject"]
    assert bird.run(search, "Body", "nowhere" + word) == []


def test_thunderbird_makes_folders_and_stores_copies(thunderbird, box):
    bird = thunderbird()
    bird.run(OPEN + """
        server.rootFolder.createSubfolder("Projets été", null);
        const made = await until("the folder", () => folder("Projets été"));
        made.createSubfolder("below", null);
        await until("the folder below", () => folder("below"));
        const file = Services.dirsvc.get("TmpD", Ci.nsIFile); file.append("rockdove-copy.eml"); file.createUnique(0, 0o600);
        await IOUtils.writeUTF8(file.path, "From: a@example.test\\r\\nSubject: a copy\\r\\nMessage-ID: <c@x>\\r\\n\\r\\ntext\\r\\n");
        await copied(l => MailServices.copy.copyFileMessage(file, made, null, true, Ci.nsMsgMessageFlags.Read, "", l, null));
        await IOUtils.remove(file.path);""")
    assert box.ok('LIST "" "Projets*" RETURN (SUBSCRIBED)').find(rb'Subscribed[^\r\n]*Projets &AOk-t&AOk-/below')
    assert subjects(box, "Projets &AOk-t&AOk-") == ["a copy"]
    assert "\\Seen" in flags_of(box, "Projets &AOk-t&AOk-", "a copy")
    bird.run(OPEN + """
        await url(l => folder("Projets été").rename("Renamed", null) || l.OnStopRunningUrl(null, 0));
        await until("the new name", () => folder("Renamed"));""")
    wait_for(lambda: box.ok('LIST "" "Renamed/*"').find(rb"Renamed/below"))


def test_thunderbird_sees_what_happens_elsewhere(thunderbird, box):
    """IDLE, CONDSTORE: mail that comes, flags and expunges of others, without being asked."""
    box.put(mail.plain(subject="old"), mail.plain(subject="goes"))
    bird = thunderbird()
    bird.run(OPEN + """inbox.updateFolder(null); await until("both", () => headers(inbox).length == 2);""")
    time.sleep(0.5)
    box.put(mail.plain(subject="new"))
    box.ok("SELECT INBOX"), box.ok("STORE 1 +FLAGS (\\Flagged)"), box.ok("STORE 2 +FLAGS.SILENT (\\Deleted)"), box.ok("EXPUNGE")
    bird.run("""const inbox = folder("INBOX");
        await until("the news", () => bySubject(inbox, "new") && bySubject(inbox, "old").isFlagged && !bySubject(inbox, "goes"));""")


def test_thunderbird_works_offline(thunderbird, box):
    """Loads everything, goes offline, reads, marks and moves there, and tells the server when it is back."""
    count = 30
    box.put(*(mail.plain(subject=f"off {n}", body=f"text of {n}\r\n") for n in range(count)))
    bird = thunderbird()
    text = bird.run(OPEN + """
        inbox.setFlag(Ci.nsMsgFolderFlags.Offline);
        await until("the list", () => headers(inbox).length == 30);
        inbox.downloadMessagesForOffline(headers(inbox), null);
        await until("all texts", () => headers(inbox).every(h => inbox.hasMsgOffline(h.messageKey)));
        const manager = Cc["@mozilla.org/messenger/offline-manager;1"].getService(Ci.nsIMsgOfflineManager);
        server.closeCachedConnections();
        Services.io.offline = true;
        const text = await source(bySubject(inbox, "off 7"));
        inbox.markMessagesFlagged([bySubject(inbox, "off 7")], true);
        inbox.markMessagesRead([bySubject(inbox, "off 8")], true);
        await copied(l => MailServices.copy.copyMessages(inbox, [bySubject(inbox, "off 9")], folder("Archive"), true, l, null, false));
        Services.io.offline = false;
        manager.goOnline(false, true, null);
        await until("the move", () => !bySubject(inbox, "off 9"));
        return text;""")
    assert "text of 7" in text
    wait_for(lambda: subjects(box, "Archive") == ["off 9"])
    wait_for(lambda: "\\Flagged" in flags_of(box, "INBOX", "off 7") and "\\Seen" in flags_of(box, "INBOX", "off 8"))
    wait_for(lambda: len(subjects(box, "INBOX")) == count - 1)


def test_thunderbird_over_pop3(thunderbird, box):
    """Fetches, leaves on the server, fetches only what is new (UIDL), and removes there what is deleted here."""
    box.put(*(mail.plain(subject=f"p{n}", body=".dot\r\n") for n in range(3)))
    bird = thunderbird("pop3", leave_on_server=True, delete_mail_left_on_server=True)
    fetch = """
        const server = serverOf("pop3"), inbox = server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
        const fetch = () => url(l => MailServices.pop3.GetNewMail(null, l, inbox, server));
        await fetch();
        """
    got = bird.run(fetch + """return [headers(inbox).map(h => h.mime2DecodedSubject), await source(bySubject(inbox, "p1"))];""")
    assert sorted(got[0]) == ["p0", "p1", "p2"] and "\n.dot" in got[1].replace("\r", "") and "..dot" not in got[1]
    assert len(subjects(box, "INBOX")) == 3, "they were left there"
    box.put(mail.plain(subject="p3"))
    assert sorted(bird.run(fetch + "return headers(inbox).map(h => h.mime2DecodedSubject);")) == ["p0", "p1", "p2", "p3"]
    bird.run(fetch + """
        inbox.deleteMessages([bySubject(inbox, "p0"), bySubject(inbox, "p2")], null, true, false, null, false);
        await until("fewer", () => headers(inbox).length == 2);
        await fetch();""")
    wait_for(lambda: subjects(box, "INBOX") == ["p1", "p3"])


# ---- neomutt ----

def test_neomutt_reads_moves_and_deletes(server, box, user, home):
    box.put(*(mail.plain(subject=f"for neomutt {n}") for n in range(4)))
    (home / "rc").write_text(f"""
set folder="imaps://localhost:{server.ports['imaps']}/" spoolfile="+INBOX" record="+Sent" trash="+Trash" postponed="+Drafts"
set imap_user="{user.address}" imap_pass="{user.password}" from="{user.address}" use_from=yes
set ssl_verify_host=no ssl_force_tls=yes certificate_file="{certificate(server)}" ssl_ca_certificates_file="{certificate(server)}"
set header_cache="" message_cachedir="" imap_idle=yes imap_condstore=yes imap_qresync=yes delete=yes quit=yes wait_key=no
""")
    env = dict(peers.clients_env(), HOME=str(home), TERM="xterm", LANG="C.UTF-8")

    def count(mailbox):
        return int(box.ok(f"STATUS {mailbox} (MESSAGES)").find(rb"MESSAGES (\d+)")[1])

    # read the first, save the second to Junk, delete the third, write the changes, leave
    in_terminal([peers.CLIENTS / "usr/bin/neomutt", "-n", "-F", home / "rc"], ["1\n", "\n", "q", "2\n", "s", "=Junk\n", "3\n", "d", "$", "q"],
                lambda: count("INBOX") == 2 and count("Junk") == 1, env)
    assert subjects(box, "Junk") == ["for neomutt 1"] and subjects(box, "Trash") == ["for neomutt 2"]
    assert "\\Seen" in flags_of(box, "INBOX", "for neomutt 0")


# ---- offlineimap ----

def maildir(folder):
    return sorted((path for sub in ("cur", "new") for path in (folder / sub).iterdir()), key=lambda path: path.name)


def test_offlineimap_both_ways(server, box, user, home):
    box.put(*(mail.plain(subject=f"both {n}") for n in range(5)))
    box.put(mail.plain(subject="sent"), mailbox="Sent", flags="\\Seen")
    (home / "rc").write_text(f"""
[general]
accounts = a
metadata = {home}/meta
socktimeout = 20
[Account a]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = {home}/mail
[Repository far]
type = IMAP
remotehost = localhost
remoteport = {server.ports['imaps']}
remoteuser = {user.address}
remotepass = {user.password}
ssl = yes
sslcacertfile = {certificate(server)}
maxconnections = 3
""")
    env = dict(peers.clients_env(), HOME=str(home))
    sync = ["/usr/bin/python3", peers.CLIENTS / "usr/bin/offlineimap", "-c", home / "rc", "-o", "-u", "basic"]
    run(sync, env=env)
    inbox = home / "mail/INBOX"
    assert len(maildir(inbox)) == 5 and len(maildir(home / "mail/Sent")) == 1
    # near side: one read and flagged, one gone, one new
    by_subject = {n: path for path in maildir(inbox) for n in range(5) if f"Subject: both {n}\n" in path.read_text()}
    by_subject[0].rename(inbox / "cur" / (by_subject[0].name.split(":2,")[0] + ":2,FS"))
    by_subject[1].unlink()
    (inbox / "new" / "1.local.host").write_bytes(mail.plain(subject="from the near side").replace(b"\r\n", b"\n"))
    # far side: one more, one gone, one flag
    box.put(mail.plain(subject="from the far side"))
    box.ok("SELECT INBOX"), box.ok("STORE 3 +FLAGS.SILENT (\\Deleted)"), box.ok("EXPUNGE"), box.ok("STORE 3 +FLAGS.SILENT (\\Answered)")
    box.ok("UNSELECT")
    run(sync, env=env)
    run(sync, env=env)
    wanted = ["both 0", "both 3", "both 4", "from the far side", "from the near side"]
    assert subjects(box, "INBOX") == wanted
    texts = {path.name: path.read_text() for path in maildir(inbox)}
    assert sorted(text.split("Subject: ")[1].split("\n")[0] for text in texts.values()) == wanted
    assert set(flags_of(box, "INBOX", "both 0")) >= {"\\Seen", "\\Flagged"}
    assert any("R" in name.split(":2,")[1] and "both 3" in text for name, text in texts.items())
