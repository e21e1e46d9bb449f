"""Small print of the RFCs that clients and test suites rely on."""
import random
import re

from test_imap_basics import put


def test_condstore_is_announced_by_its_first_use(imap, user):
    """RFC 7162 section 3.1: the client learns from where on it may trust mod-sequences."""
    client = imap(user)
    client.ok("SELECT INBOX")
    put(client)
    client.ok("NOOP")
    first = client.ok("FETCH 1 (MODSEQ)")
    told = int(first.find(rb"^\* OK \[HIGHESTMODSEQ (\d+)\]")[1])
    assert told >= int(first.find(rb"MODSEQ \((\d+)\)")[1])
    assert not client.ok("FETCH 1 (MODSEQ)").find(rb"HIGHESTMODSEQ"), "once"


def test_search_of_flags_and_uids(imap, user):
    """Keys that lead to few messages find what looking at each would find."""
    client, sequence, flags = imap(user), random.Random(9), {}
    client.ok("SELECT INBOX")
    put(client)
    for _ in range(9):
        client.ok("COPY 1:* INBOX")
        client.ok("NOOP")
    count = int(client.ok("STATUS INBOX (MESSAGES)").find(rb"MESSAGES (\d+)")[1])
    client.ok("STORE 1:* FLAGS.SILENT (\\Seen)")
    for store, share in (("-FLAGS.SILENT (\\Seen)", 130), ("+FLAGS.SILENT (\\Deleted)", 120)):
        client.ok(f"STORE {','.join(map(str, sorted(sequence.sample(range(1, count + 1), share))))} {store}")
    gone = sorted(sequence.sample(range(1, count + 1), 60))
    client.ok("CREATE aside")
    client.ok(f"MOVE {','.join(map(str, gone))} aside")
    for line in client.ok("FETCH 1:* (UID FLAGS)").untagged:
        number, uid, given = re.match(rb"\* (\d+) FETCH \(UID (\d+) FLAGS \((.*)\)\)", line).groups()
        flags[int(number)] = (int(uid), b"Seen" in given, b"Deleted" in given)
    for key, holds in (("UNSEEN", lambda n, uid, seen, deleted: not seen), ("DELETED", lambda n, uid, seen, deleted: deleted),
                       ("UNSEEN DELETED", lambda n, uid, seen, deleted: not seen and deleted), ("NOT UNSEEN", lambda n, uid, seen, deleted: seen),
                       ("NOT DELETED UNSEEN", lambda n, uid, seen, deleted: not seen and not deleted),
                       ("OR UNSEEN DELETED", lambda n, uid, seen, deleted: not seen or deleted), ("UNDELETED", lambda n, uid, seen, deleted: not deleted),
                       ("50:200 UNSEEN", lambda n, uid, seen, deleted: 50 <= n <= 200 and not seen),
                       ("UID 50:200,300 DELETED", lambda n, uid, seen, deleted: (50 <= uid <= 200 or uid == 300) and deleted),
                       ("NOT UID 50:200 UNSEEN", lambda n, uid, seen, deleted: not 50 <= uid <= 200 and not seen),
                       ("20:300 UID 50:200", lambda n, uid, seen, deleted: 20 <= n <= 300 and 50 <= uid <= 200)):
        wanted = [(number, uid) for number, (uid, seen, deleted) in flags.items() if holds(number, uid, seen, deleted)]
        for verb, place in (("SEARCH", 0), ("UID SEARCH", 1)):
            got = [int(word) for word in client.ok(f"{verb} {key}").untagged[0].split()[2:]]
            assert wanted and got == [found[place] for found in wanted], (verb, key)


def test_a_parent_is_listed_for_the_sake_of_hidden_children_only(imap, user):
    """RFC 9051 section 6.3.9.6."""
    client = imap(user)
    for name in ("rm/a", "rm/b"):
        client.ok(f"CREATE {name}")
        client.ok(f"SUBSCRIBE {name}")
    child = rb'\* LIST \(.*\) "/" rm \("CHILDINFO" \("SUBSCRIBED"\)\)'
    assert client.ok('LIST (SUBSCRIBED RECURSIVEMATCH) "" "rm"').find(child)
    assert client.ok('LIST (SUBSCRIBED RECURSIVEMATCH) "" ("rm" "rm/a")').find(child), "rm/b is hidden"
    assert not client.ok('LIST (SUBSCRIBED RECURSIVEMATCH) "" ("rm" "rm/a" "rm/b")').find(rb'"/" rm[ \r]')
    client.ok("SUBSCRIBE rm")
    assert client.ok('LIST (SUBSCRIBED RECURSIVEMATCH) "" ("rm" "rm/a" "rm/b")').find(child), "subscribed itself"


def test_search_finds_an_address_behind_comments(imap, user):
    """The envelope is looked into, however the address was written (RFC 9051 section 6.4.4)."""
    client = imap(user)
    client.ok("SELECT INBOX")
    client.append("INBOX", b"From: <ann (in Rome)@ (her) example.org>\r\nTo: x (y) @ example.net, z@example.com\r\n\r\n.\r\n", "")
    client.ok("NOOP")
    for search in ("FROM ann@example.org", "FROM Rome", "TO x@example.net", "TO z@example.com", "HEADER FROM ann@example"):
        assert client.ok("SEARCH " + search).find(rb"^\* SEARCH 1\b"), search
    assert not client.ok("SEARCH FROM x@example.net").find(rb"SEARCH 1")


def test_a_turned_range_of_results(imap, user):
    """RFC 9394 section 3.1: 4:2 asks for the same as 2:4."""
    client = imap(user)
    client.ok("SELECT INBOX")
    put(client, 5)
    client.ok("NOOP")
    for asked, told in (("4:2", rb"2:4 2:4"), ("1:6", rb"1:6 1:5"), ("-3:-1", rb"-1:-3 3:5"), ("7:9", rb"7:9 NIL")):
        answer = client.ok(f"SEARCH RETURN (PARTIAL {asked}) ALL")
        assert answer.find(rb"PARTIAL \(" + told + rb"\)"), answer
    for bad in ("1", "1:*", "*:1", "0:3", "-1:3"):
        assert client.cmd(f"SEARCH RETURN (PARTIAL {bad}) ALL").status == "BAD", bad
