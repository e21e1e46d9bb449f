"""ACL (RFC 4314), LIST-MYRIGHTS (RFC 8440) and mailboxes shared between accounts: every right, and what is never told."""
import re

import mail
import pytest

OTHERS = "Other Users"


def put(client, mailbox="INBOX", **words):
    answer = client.append(mailbox, mail.plain(**words))
    assert answer.status == "OK", answer
    return int(re.search(r"APPENDUID \d+ (\d+)", answer.text)[1])


class Pair:
    """An owner with a mailbox "Team", and a reader."""

    def __init__(self, imap, new_user):
        self.ann, self.bob = new_user(), new_user()
        self.owner, self.reader = imap(self.ann), imap(self.bob)
        self.owner.ok("CREATE Team")
        self.prefix = f"{OTHERS}/{self.ann.address}"
        self.team = f'"{self.prefix}/Team"'

    def grant(self, rights, mailbox="Team", who=None):
        return self.owner.ok(f'SETACL "{mailbox}" {who or self.bob.address} {rights}')

    def names(self, pattern="*"):
        answer = self.reader.ok(f'LIST "" "{pattern}"')
        return {re.search(rb'"/" "?([^"]*)"?$', line)[1].decode() for line in answer.untagged if line.startswith(b"* LIST")}


@pytest.fixture
def pair(imap, new_user):
    return Pair(imap, new_user)


def test_capabilities(imap, user):
    client = imap(user)
    assert {"ACL", "RIGHTS=texk", "LIST-MYRIGHTS"} <= set(client.ok("CAPABILITY").find(rb"CAPABILITY (.*)")[1].decode().split())
    assert client.ok("NAMESPACE").find(rb'NAMESPACE \(\("" "/"\)\) \(\("Other Users/" "/"\)\) NIL')


def test_lists(pair):
    owner, bob = pair.owner, pair.bob.address
    assert owner.ok("GETACL Team").find(rb"\* ACL Team (\S+) (\S+)$").groups() == (pair.ann.address.encode(), b"lrswipkxteacd")
    pair.grant("lrs")
    pair.grant("+w")
    assert owner.ok("GETACL Team").find(rb"%s lrsw$" % bob.encode())
    pair.grant("-ls")
    assert owner.ok("GETACL Team").find(rb"%s rw$" % bob.encode())
    pair.grant("lrd", who=f"-{bob.upper()}")  # addresses have no case
    assert owner.ok("GETACL Team").find(rb"-%s lrted$" % bob.encode())
    owner.ok(f"DELETEACL Team -{bob}")
    pair.grant('""')
    assert bob.encode() not in b"".join(owner.ok("GETACL Team").untagged)
    pair.grant("c")
    assert owner.ok("GETACL Team").find(rb"%s kxc$" % bob.encode())
    assert owner.ok(f"LISTRIGHTS Team {pair.ann.address}").find(rb"LISTRIGHTS Team \S+ la r s w i p k x t e c d$")
    assert owner.ok("LISTRIGHTS Team anyone").find(rb'LISTRIGHTS Team anyone "" l r s w i p k x t e a c d$')
    assert owner.ok("MYRIGHTS Team").find(rb"MYRIGHTS Team lrswipkxteacd$")


def test_bad_input(pair):
    owner = pair.owner
    for bad in ("SETACL Team anyone q", "SETACL Team anyone LR", "SETACL Team anyone", "SETACL Team", "GETACL", "MYRIGHTS", "LISTRIGHTS Team",
                "DELETEACL Team", "SETACL Team anyone l r", "GETACL Team x"):
        assert owner.cmd(bad).status == "BAD", bad
    for refused in ("SETACL Team nobody l", 'SETACL Team "two words@x" l', 'SETACL Team "" l', 'SETACL Team - l', "SETACL Team @x l"):
        assert owner.cmd(refused).status == "NO", refused
    for verb in ("GETACL", "MYRIGHTS"):
        assert "[NONEXISTENT]" in owner.cmd(f"{verb} Nowhere").text
    owner.ok("NOOP")


def test_the_owner_keeps_admin_and_lookup(pair):
    owner = pair.owner
    pair.grant('""', who=pair.ann.address)
    assert owner.ok("MYRIGHTS Team").find(rb"MYRIGHTS Team la$")
    assert "[NOPERM]" in owner.cmd("SELECT Team").text and "[NOPERM]" in owner.append("Team", mail.plain()).text
    pair.grant("lrswipkxte", who=f"-{pair.ann.address}")
    owner.ok(f"DELETEACL Team {pair.ann.address}")
    assert owner.ok("MYRIGHTS Team").find(rb"MYRIGHTS Team la$")
    owner.ok(f"DELETEACL Team -{pair.ann.address}")
    owner.ok("SELECT Team")


def test_lookup(pair, imap, new_user):
    pair.owner.ok("CREATE Team/Deep/Deeper")
    assert not any(name.startswith(pair.prefix) for name in pair.names())
    pair.grant("l", "Team/Deep/Deeper")
    names = pair.names()
    assert {OTHERS, pair.prefix, f"{pair.prefix}/Team", f"{pair.prefix}/Team/Deep", f"{pair.prefix}/Team/Deep/Deeper"} <= names
    assert f"{pair.prefix}/INBOX" not in names
    answer = pair.reader.ok(f'LIST "" "{pair.prefix}/%"')
    assert len(answer.untagged) == 1 and rb"\Noselect" in answer.untagged[0] and rb"\HasChildren" in answer.untagged[0]
    assert OTHERS in pair.names("%")
    third = imap(new_user())
    assert pair.ann.address.encode() not in b"".join(third.ok(f'LIST "" "{OTHERS}*"').untagged)
    pair.owner.ok("SETACL Team anyone lr")
    assert third.ok(f'STATUS {pair.team} (MESSAGES)').find(rb"MESSAGES 0")
    pair.owner.ok("SETACL Team anyone l")
    assert "[NOPERM]" in third.cmd(f'STATUS {pair.team} (MESSAGES)').text


def test_what_may_not_be_looked_up_does_not_exist(pair):
    """Hidden and absent are answered with the same words, whatever is tried."""
    pair.grant("lr", "INBOX")  # so that something of this owner is shared
    hidden, absent = f"{pair.prefix}/Team", f"{pair.prefix}/Tame"
    pair.reader.ok(f'SELECT "{pair.prefix}/INBOX"')
    put(pair.owner)
    for command in ('SELECT "{}"', 'EXAMINE "{}"', 'STATUS "{}" (MESSAGES)', 'DELETE "{}"', 'CREATE "{}/x"', 'CREATE "{}"', 'SUBSCRIBE "{}"', 'GETACL "{}"',
                    'MYRIGHTS "{}"', 'LISTRIGHTS "{}" anyone', 'SETACL "{}" anyone l', 'DELETEACL "{}" anyone', 'RENAME "{}" y', 'RENAME INBOX "{}/x"',
                    'RENAME "{}" "{}2"', 'GETMETADATA "{}" /private/comment', 'SETMETADATA "{}" (/private/comment "x")', 'LIST "" "{}"',
                    'GETQUOTAROOT "{}"', 'LSUB "" "{}"', 'UNSUBSCRIBE "{}"'):
        answers = []
        for name in (hidden, absent):
            pair.reader.ok(f'SELECT "{pair.prefix}/INBOX"')
            answer = pair.reader.cmd(command.replace("{}", name))
            answers.append((answer.status, answer.text, [line.replace(name.encode(), b"") for line in answer.untagged]))
        assert answers[0] == answers[1], command
    pair.reader.ok(f'SELECT "{pair.prefix}/INBOX"')
    assert pair.reader.append(hidden, mail.plain()).text == pair.reader.append(absent, mail.plain()).text
    for verb in ("COPY", "MOVE"):
        assert pair.reader.cmd(f'{verb} 1 "{hidden}"').text == pair.reader.cmd(f'{verb} 1 "{absent}"').text
    nobody = pair.reader.cmd(f'SELECT "{OTHERS}/nobody@example.test/Team"')
    assert nobody.text == pair.reader.cmd(f'SELECT "{absent}"').text


RIGHTS = {  # what fails without the right and works with it
    "r": 'STATUS {team} (MESSAGES)',
    "x": 'RENAME {team} "{prefix}/Parent/New"',
    "k": 'CREATE "{prefix}/Team/sub"',
    "a": 'SETACL {team} anyone l',
}


@pytest.mark.parametrize("right", sorted(RIGHTS))
def test_right(pair, right):
    pair.owner.ok("CREATE Parent")
    pair.grant("lrk", "Parent")
    command = RIGHTS[right].format(team=pair.team, prefix=pair.prefix)
    pair.grant("lrswipkxtea".replace(right, ""))
    answer = pair.reader.cmd(command)
    assert answer.status == "NO" and "[NOPERM]" in answer.text
    pair.grant("l" + right)
    pair.reader.ok(command)


def test_insert(pair):
    pair.grant("lr")
    answer = pair.reader.append(pair.team.strip('"'), mail.plain())
    assert answer.status == "NO" and "[NOPERM]" in answer.text
    pair.grant("+i")
    answer = pair.reader.cmd(f'APPEND {pair.team} (\\Seen \\Deleted \\Flagged word) ', mail.plain())
    assert answer.status == "OK"
    pair.owner.ok("SELECT Team")
    assert pair.owner.ok("FETCH 1 FLAGS").find(rb"FLAGS \((\\Recent)?\)")  # no right to any of them
    pair.grant("+sw")
    pair.reader.cmd(f'APPEND {pair.team} (\\Seen \\Deleted \\Flagged word) ', mail.plain())
    pair.owner.ok("NOOP")
    flags = pair.owner.ok("FETCH 2 FLAGS").find(rb"2 FETCH \(FLAGS \((.*?)\)\)")[1]
    assert {rb"\Seen", rb"\Flagged", b"word"} <= set(flags.split()) and rb"\Deleted" not in flags


def test_flags(pair):
    put(pair.owner, "Team")
    pair.grant("lr")
    answer = pair.reader.ok(f"SELECT {pair.team}")
    assert "[READ-ONLY]" in answer.text and answer.find(rb"PERMANENTFLAGS \(\)")
    pair.grant("lrs")
    answer = pair.reader.ok(f"SELECT {pair.team}")
    assert "[READ-WRITE]" in answer.text and answer.find(rb"PERMANENTFLAGS \(\\Seen\)")
    assert pair.reader.ok(r"STORE 1 +FLAGS (\Seen \Flagged)").find(rb"FLAGS \((\\Recent )?\\Seen\)")
    answer = pair.reader.cmd(r"STORE 1 +FLAGS (\Flagged)")
    assert answer.status == "NO" and "[NOPERM]" in answer.text
    pair.owner.ok("SELECT Team")
    pair.owner.ok(r"STORE 1 FLAGS (\Flagged \Deleted)")
    pair.reader.ok(r"STORE 1 FLAGS (\Seen)")  # replaces only what it may
    flags = pair.owner.ok("FETCH 1 FLAGS").find(rb"FLAGS \((.*?)\)")[1].split()
    assert {rb"\Seen", rb"\Flagged", rb"\Deleted"} <= set(flags)
    answer = pair.reader.cmd("EXPUNGE")
    assert answer.status == "NO" and "[NOPERM]" in answer.text
    pair.reader.ok("CLOSE")
    assert pair.owner.ok("STATUS Team (MESSAGES)").find(rb"MESSAGES 1")
    pair.grant("lrte")
    pair.reader.ok(f"SELECT {pair.team}")
    pair.reader.ok("EXPUNGE")
    assert pair.owner.ok("STATUS Team (MESSAGES)").find(rb"MESSAGES 0")


def test_reading_marks_seen_only_with_the_right(pair):
    put(pair.owner, "Team", subject="hello")
    pair.grant("lrw")
    pair.reader.ok(f"SELECT {pair.team}")
    answer = pair.reader.ok("FETCH 1 (BODY[HEADER.FIELDS (SUBJECT)])")
    assert b"hello" in b"".join(answer.untagged)
    assert pair.owner.ok("STATUS Team (UNSEEN)").find(rb"UNSEEN 1")
    pair.grant("+s")
    pair.reader.ok("FETCH 1 (BODY[HEADER.FIELDS (SUBJECT)])")
    assert pair.owner.ok("STATUS Team (UNSEEN)").find(rb"UNSEEN 0")


def test_everything_of_a_message(pair):
    put(pair.owner, "Team", subject="needle in a haystack")
    pair.grant("lrs")
    pair.reader.ok(f"SELECT {pair.team}")
    answer = pair.reader.ok("FETCH 1 (UID FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[] RFC822.SIZE INTERNALDATE)")
    assert b"needle" in b"".join(answer.untagged)
    assert pair.reader.ok("SEARCH SUBJECT needle").find(rb"SEARCH 1$")
    assert pair.reader.ok("SEARCH TEXT nothing").find(rb"SEARCH$")


def test_a_delivery_is_seen_by_all(pair):
    pair.grant("lrs")
    pair.reader.ok(f"SELECT {pair.team}")
    put(pair.owner, "Team")
    assert pair.reader.ok("NOOP").find(rb"1 EXISTS")


def test_taking_a_right_away_from_an_open_session(pair):
    put(pair.owner, "Team")
    pair.grant("lrsw")
    pair.reader.ok(f"SELECT {pair.team}")
    pair.grant("lr")
    answer = pair.reader.cmd(r"STORE 1 +FLAGS (\Seen)")
    assert answer.status == "NO" and "[NOPERM]" in answer.text
    pair.reader.ok("FETCH 1 BODY[]")
    pair.grant('""')
    assert pair.reader.response().startswith(b"* BYE")


def test_taking_a_right_away_from_a_session_in_idle(pair, imap):
    pair.grant("lr")
    mine = imap(pair.bob)
    mine.ok("SELECT INBOX")
    pair.reader.ok(f"SELECT {pair.team}")
    pair.reader.send(b"i IDLE\r\n")
    assert pair.reader.response().startswith(b"+")
    pair.owner.ok("SETACL Team -anyone r")
    lines = [pair.reader.response()]
    while not lines[-1].startswith(b"* BYE"):
        lines.append(pair.reader.response())
    mine.ok("NOOP")  # sessions in other mailboxes go on


def test_subscriptions_are_the_readers_own(pair):
    pair.grant("lr")
    pair.reader.ok(f"SUBSCRIBE {pair.team}")
    assert pair.team.strip('"').encode() in b"".join(pair.reader.ok('LSUB "" "*"').untagged)
    answer = pair.reader.ok(f'LIST "" {pair.team} RETURN (SUBSCRIBED MYRIGHTS STATUS (MESSAGES))')
    assert rb"\Subscribed" in answer.untagged[0] and b"MYRIGHTS" in answer.untagged[1] and answer.untagged[1].endswith(b" lr")
    assert b"STATUS" in answer.untagged[2]
    pair.grant("l")
    answer = pair.reader.ok(f'LIST "" {pair.team} RETURN (MYRIGHTS STATUS (MESSAGES))')
    assert [line.split()[1] for line in answer.untagged] == [b"LIST", b"MYRIGHTS"]  # no right to count
    pair.grant('""')
    answer = pair.reader.ok('LIST (SUBSCRIBED) "" "*"')
    assert any(rb"\NonExistent" in line and b"/Team" in line for line in answer.untagged)
    assert b"/Team" not in b"".join(pair.owner.ok('LSUB "" "*"').untagged)
    pair.reader.ok(f"UNSUBSCRIBE {pair.team}")
    assert b"/Team" not in b"".join(pair.reader.ok('LIST (SUBSCRIBED) "" "*"').untagged)


def test_new_mailboxes_get_the_list_of_the_one_above(pair):
    pair.grant("lrkx")
    pair.reader.ok(f'CREATE "{pair.prefix}/Team/one/two"')
    assert pair.reader.ok(f'MYRIGHTS "{pair.prefix}/Team/one/two"').find(rb" lrkxc$")
    pair.owner.ok("SETACL Team/one anyone l")
    pair.reader.ok(f'RENAME "{pair.prefix}/Team/one" "{pair.prefix}/Team/uno"')
    assert pair.owner.ok("GETACL Team/uno").find(rb" anyone l")  # a list goes with its mailbox
    pair.reader.ok(f'DELETE "{pair.prefix}/Team/uno/two"')
    assert "[CANNOT]" in pair.reader.cmd(f'RENAME "{pair.prefix}/Team/uno" mine').text
    assert pair.reader.cmd(f'CREATE "{pair.prefix}/top"').status == "NO"
    assert "[CANNOT]" in pair.reader.cmd(f'CREATE "{OTHERS}/mine"').text
    assert "[CANNOT]" in pair.reader.cmd(f'RENAME INBOX "{OTHERS}"').text


def test_annotations(pair):
    pair.grant("lr")
    pair.owner.ok('SETMETADATA Team (/shared/comment "ours" /private/comment "of the owner")')
    get = f"GETMETADATA {pair.team} (/shared/comment /private/comment)"
    assert b"ours" in b"".join(pair.reader.ok(get).untagged) and b"of the owner" not in b"".join(pair.reader.ok(get).untagged)
    pair.reader.ok(f'SETMETADATA {pair.team} (/private/comment "of the reader")')
    assert b"of the reader" in b"".join(pair.reader.ok(get).untagged)
    assert b"of the reader" not in b"".join(pair.owner.ok("GETMETADATA Team /private/comment").untagged)
    assert "[NOPERM]" in pair.reader.cmd(f'SETMETADATA {pair.team} (/shared/comment "mine")').text
    answer = pair.reader.ok('LIST "" "*" RETURN (METADATA (/shared/comment))')
    assert any(b"/Team" in line and b"ours" in line for line in answer.untagged)
    pair.grant("+w")
    pair.reader.ok(f'SETMETADATA {pair.team} (/shared/comment "changed")')
    assert b"changed" in b"".join(pair.owner.ok("GETMETADATA Team /shared/comment").untagged)


def test_quota_is_the_owners(pair):
    pair.grant("lri")
    pair.owner.ok('SETQUOTA "User quota" (MESSAGE 1)')
    put(pair.reader, pair.team.strip('"'))
    answer = pair.reader.append(pair.team.strip('"'), mail.plain())
    assert answer.status == "NO" and "[OVERQUOTA]" in answer.text
    assert pair.reader.ok(f"GETQUOTAROOT {pair.team}").untagged == [b"* QUOTAROOT " + pair.team.encode()]


def test_the_inbox_may_be_shared(pair):
    pair.grant("lr", "INBOX")
    put(pair.owner)
    assert pair.reader.ok(f'SELECT "{pair.prefix}/inbox"').find(rb"1 EXISTS")
    pair.grant("lrkx", "INBOX")
    assert "[CANNOT]" in pair.reader.cmd(f'RENAME "{pair.prefix}/INBOX" "{pair.prefix}/INBOX/old"').text


def test_names_of_objects_tell_accounts_apart(pair):
    """OBJECTID: the first mailbox and message of each account have the same numbers inside."""
    def ids(client, name):
        put(client, name.strip('"'))
        client.ok(f"SELECT {name}")
        email = client.ok("FETCH 1 (EMAILID)").find(rb"EMAILID \((\S+)\)")[1]
        return client.ok(f"STATUS {name} (MAILBOXID)").find(rb"MAILBOXID \((\S+)\)")[1], email

    pair.grant("lri", "INBOX")
    mine, shared = ids(pair.reader, "INBOX"), ids(pair.reader, f'"{pair.prefix}/INBOX"')
    assert mine[0] != shared[0] and mine[1] != shared[1]
    pair.owner.ok("SELECT INBOX")
    assert ids(pair.owner, "INBOX") == shared  # the same mailbox for all who see it


def test_deliveries_ask_no_list(pair, smtp):
    pair.grant("ip", "INBOX")
    pair.grant("lrswipkxte", "INBOX", f"-{pair.ann.address}")
    assert pair.owner.append("INBOX", mail.plain()).status == "NO"
    client = smtp()
    client.ehlo()
    assert client.deliver("stranger@remote.test", [pair.ann.address], mail.plain()).code == 250
    pair.owner.ok(f"DELETEACL INBOX -{pair.ann.address}")
    assert pair.owner.ok("STATUS INBOX (MESSAGES)").find(rb"MESSAGES 1")


def test_hidden_from_an_account(make_server):
    """hide_capabilities: [ ACL ]: neither the commands nor others' folders."""
    from conftest import FREE
    from wire import Imap
    (ann, ann_word), (bob, bob_word) = sorted(FREE.items())[:2]
    server = make_server(imap={"hide_capabilities": [{"account": bob, "names": ["ACL"]}]})
    server.start()
    owner, reader = Imap(server.ports["imap"]), Imap(server.ports["imap"])
    owner.login(ann, ann_word)
    reader.login(bob, bob_word)
    owner.ok("SETACL INBOX anyone lr")
    assert b"ACL" not in reader.ok("CAPABILITY").find(rb"CAPABILITY (.*)")[1].split()
    assert reader.cmd("MYRIGHTS INBOX").status == "BAD" and reader.cmd("SETACL INBOX anyone l").status == "BAD"
    assert reader.ok("NAMESPACE").find(rb'NAMESPACE \(\("" "/"\)\) NIL NIL')
    assert b"Other Users" not in b"".join(reader.ok('LIST "" "*"').untagged)


def test_one_name_for_ones_own(pair):
    pair.grant("lr", who="anyone")
    assert "[NONEXISTENT]" in pair.owner.cmd(f"SELECT {pair.team}").text
    assert pair.ann.address.encode() not in b"".join(pair.owner.ok(f'LIST "" "{OTHERS}*"').untagged)


def test_who_shares_outlives_a_lost_file(make_server):
    from conftest import FREE
    from wire import Imap
    server = make_server()
    (ann, ann_word), (bob, bob_word) = sorted(FREE.items())[:2]

    def sessions():
        found = []
        for address, word in ((ann, ann_word), (bob, bob_word)):
            client = Imap(server.ports["imap"])
            assert client.login(address, word).status == "OK"
            found.append(client)
        return found

    server.start()
    owner, reader = sessions()
    owner.ok("CREATE Team")
    owner.ok(f"SETACL Team {bob} lr")
    server.stop()
    file = server.home / "data/store/shares" if hasattr(server, "home") else None
    assert file and file.exists()
    for damage in (None, b"", b"rubbish", "gone"):
        if damage == "gone":
            file.unlink()
        elif damage is not None:
            file.write_bytes(damage)
        server.start()
        owner, reader = sessions()
        reader.ok(f'SELECT "{OTHERS}/{ann}/Team"')
        server.stop()
    server.start()
    owner, reader = sessions()
    owner.ok(f"DELETEACL Team {bob}")
    assert "[NONEXISTENT]" in reader.cmd(f'SELECT "{OTHERS}/{ann}/Team"').text


def bodies(client, count):
    return [client.ok(f"FETCH {number} BODY.PEEK[]").untagged[0].partition(b"}\r\n")[2] for number in range(1, count + 1)]


@pytest.mark.parametrize("verb", ["COPY", "MOVE"])
def test_from_ones_own_to_anothers(pair, verb):
    """And back: the same bytes, the flags there is a right to."""
    reader, owner = pair.reader, pair.owner
    for number in range(40):  # more than one step
        reader.append("INBOX", mail.plain(subject=f"m{number}"), r"\Seen \Flagged word")
    reader.ok("SELECT INBOX")
    before = bodies(reader, 40)
    pair.grant("lriw")
    answer = reader.ok(f"{verb} 1:40 {pair.team}")
    copyuid = re.search(r"COPYUID (\d+) (\S+) (\S+)\]", answer.text + b" ".join(answer.untagged).decode())
    assert copyuid[2] == "1:40" and copyuid[3] == "1:40"
    assert reader.ok("STATUS INBOX (MESSAGES)").find(rb"MESSAGES %d" % (0 if verb == "MOVE" else 40))
    owner.ok("SELECT Team")
    assert bodies(owner, 40) == before
    flags = owner.ok("FETCH 40 FLAGS").find(rb"FLAGS \((.*?)\)")[1].split()
    assert rb"\Flagged" in flags and b"word" in flags and rb"\Seen" not in flags
    assert owner.ok("SEARCH SUBJECT m39").find(rb"SEARCH 40$") and owner.ok("SEARCH TEXT m39").find(rb"SEARCH 40$")
    assert owner.cmd('APPEND Team "01-Jan-2020 00:00:00 +0000" ', mail.plain()).status == "OK"
    reader.ok(f"SELECT {pair.team}")
    reader.ok("COPY 41 Drafts")  # what it brings was saved now, whenever it came in
    reader.ok("SELECT Drafts")
    assert not reader.ok("FETCH 1 SAVEDATE").find(rb"SAVEDATE .*2020") and reader.ok("FETCH 1 INTERNALDATE").find(rb"2020")
    owner.ok(r"STORE 41 +FLAGS (\Deleted)")
    owner.ok("EXPUNGE")
    reader.ok(f"SELECT {pair.team}")
    if verb == "MOVE":
        answer = reader.cmd("MOVE 1:2 INBOX")
        assert answer.status == "NO" and "[NOPERM]" in answer.text
        pair.grant("lrte")
    reader.ok(f"UID {verb} 1:2,999 INBOX")
    assert owner.ok("STATUS Team (MESSAGES)").find(rb"MESSAGES %d" % (38 if verb == "MOVE" else 40))
    assert reader.ok("STATUS INBOX (MESSAGES)").find(rb"MESSAGES %d" % (2 if verb == "MOVE" else 42))


def test_copy_within_anothers(pair):
    pair.owner.ok("CREATE Other")
    put(pair.owner, "Team")
    pair.grant("lr")
    pair.reader.ok(f"SELECT {pair.team}")
    for target in (f'"{pair.prefix}/Other"', "Other", f'"{OTHERS}/{pair.bob.address}/INBOX"', f'"{OTHERS}/nobody@example.test/Other"'):
        assert "[TRYCREATE]" in pair.reader.cmd(f"COPY 1 {target}").text, target
    pair.grant("li", "Other")
    pair.reader.ok(f'COPY 1 "{pair.prefix}/Other"')
    assert pair.owner.ok("STATUS Other (MESSAGES)").find(rb"MESSAGES 1")
    pair.reader.ok("CREATE Other")
    pair.reader.ok("COPY 1 Other")  # one's own of the same name
    assert pair.owner.ok("STATUS Other (MESSAGES)").find(rb"MESSAGES 1")
    assert pair.reader.ok("STATUS Other (MESSAGES)").find(rb"MESSAGES 1")


def test_a_copy_that_does_not_fit_leaves_nothing(pair):
    for number in range(40):
        put(pair.reader)
    pair.reader.ok("SELECT INBOX")
    pair.grant("lri")
    pair.owner.ok('SETQUOTA "User quota" (MESSAGE 35)')  # the first step fits, the second does not
    for verb in ("COPY", "MOVE"):
        answer = pair.reader.cmd(f"{verb} 1:40 {pair.team}")
        assert answer.status == "NO" and "[OVERQUOTA]" in answer.text
        assert pair.owner.ok("STATUS Team (MESSAGES)").find(rb"MESSAGES 0")
        assert pair.reader.ok("STATUS INBOX (MESSAGES)").find(rb"MESSAGES 40")


def test_replace_stays_in_one_account(pair):
    put(pair.owner, "Team", subject="old")
    pair.grant("lriste")
    pair.reader.ok(f"SELECT {pair.team}")
    answer = pair.reader.cmd("REPLACE 1 INBOX ", mail.plain(subject="new"))
    assert answer.status == "NO" and "[CANNOT]" in answer.text
    pair.reader.cmd(f"REPLACE 1 {pair.team} ", mail.plain(subject="new"))
    pair.owner.ok("SELECT Team")
    assert pair.owner.ok("SEARCH SUBJECT new").find(rb"SEARCH 1$")
    pair.grant("lris")
    answer = pair.reader.cmd(f"REPLACE 1 {pair.team} ", mail.plain(subject="x"))
    assert answer.status == "NO" and "[NOPERM]" in answer.text


def test_random_lists(pair):
    """Four entries at random, and what a simple model says each command must be answered."""
    import random
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice, letters = random.Random(seed), "lrswipkxtea"
    put(pair.owner, "Team")
    pair.owner.ok("CREATE Team/sub")
    for _ in range(40):
        entries = {}
        for who in (pair.bob.address, "anyone", f"-{pair.bob.address}", "-anyone"):
            given = {letter for letter in letters if dice.random() < (0.6 if who[0] != "-" else 0.15)} if dice.random() < 0.7 else set()
            entries[who] = given
            pair.grant("".join(sorted(given)) or '""', who=who)
        has = (entries[pair.bob.address] | entries["anyone"]) - entries[f"-{pair.bob.address}"] - entries["-anyone"]

        def judge(answer, needed, absent="[NONEXISTENT]"):
            context = (seed, "".join(sorted(has)), needed, answer)
            if set(needed) <= has:
                assert answer.status == "OK", context
            else:
                assert answer.status == "NO" and ("[NOPERM]" if "l" in has else absent) in answer.text, context

        reader, team = pair.reader, pair.team
        judge(reader.cmd(f"STATUS {team} (MESSAGES)"), "r")
        judge(reader.cmd(f"GETACL {team}"), "a")
        judge(reader.cmd(f"SUBSCRIBE {team}"), "l")
        judge(reader.cmd(f'RENAME "{pair.prefix}/Team" "{pair.prefix}/Team/no"') if not {"x", "k"} <= has else reader.ok("NOOP"),
              "x" if "x" not in has else "k" if "k" not in has else "")
        judge(reader.append(team.strip('"'), mail.plain()), "i", "[TRYCREATE]")
        judge(reader.cmd(f"GETMETADATA {team} /private/comment"), "lr")
        judge(reader.cmd(f'SETMETADATA {team} (/shared/comment "x")'), "lrw")
        rights = reader.cmd(f"MYRIGHTS {team}")
        if has & set("lrikxa"):
            shown = rights.find(rb"MYRIGHTS .* (\w*)$")[1].decode()
            assert set(shown) - {"c", "d"} == has and ("c" in shown) == bool(has & {"k", "x"}) and ("d" in shown) == bool(has & {"t", "e"})
        else:
            assert rights.status == "NO" and "[NONEXISTENT]" in rights.text
        assert (pair.prefix + "/Team" in pair.names()) == ("l" in has)
        opened = reader.cmd(f"SELECT {team}")
        judge(opened, "r")
        if "r" not in has:
            continue
        assert ("READ-WRITE" in opened.text) == bool(has & set("swite")), (seed, has, opened.text)
        if "READ-WRITE" in opened.text:
            for flag, needed in ((r"\Seen", "s"), (r"\Deleted", "t"), (r"\Flagged", "w"), ("word", "w")):
                for mode in "+-":
                    answer = reader.cmd(f"STORE 1 {mode}FLAGS.SILENT ({flag})")
                    assert (answer.status == "OK") == (needed in has), (seed, has, flag, answer)
            assert (reader.cmd("EXPUNGE").status == "OK") == ("e" in has)
        assert reader.ok("FETCH 1 (BODY[] ENVELOPE)").find(rb"ENVELOPE")
        reader.ok("CLOSE")
        pair.owner.ok("SELECT Team")
        if not pair.owner.ok("STATUS Team (MESSAGES)").find(rb"MESSAGES [1-9]"):
            put(pair.owner, "Team")
        pair.owner.ok("UNSELECT")
