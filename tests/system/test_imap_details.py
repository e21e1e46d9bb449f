"""Small print of the RFCs that clients and test suites rely on."""
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
