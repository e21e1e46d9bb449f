"""SAVEDATE (RFC 8514): when a message came into its mailbox, whatever its INTERNALDATE says."""
import re
import time
from email.utils import parsedate_to_datetime

OLD = '"05-Mar-2001 10:00:00 +0000"'
TEXT = b"From: a@example.org\r\nSubject: x\r\n\r\nbody\r\n"


def append(client, mailbox, date=""):
    client.ok(b"APPEND %s %s {%d+}\r\n%s" % (mailbox.encode(), date.encode(), len(TEXT), TEXT) if date
              else b"APPEND %s {%d+}\r\n%s" % (mailbox.encode(), len(TEXT), TEXT))


def dates(client, numbers, item="SAVEDATE"):
    answer = client.ok(f"FETCH {numbers} ({item})")
    found = re.findall(rb'%s "([^"]+)"' % item.encode(), b"\n".join(answer.untagged))
    return [parsedate_to_datetime(text.decode().replace("-", " ")).timestamp() for text in found]


def search(client, keys):
    return client.ok(f"SEARCH {keys}").find(rb"SEARCH(.*)")[1].split()


def test_savedate(imap, user):
    client = imap(user)
    assert b"SAVEDATE" in client.ok("CAPABILITY").find(rb"CAPABILITY (.*)")[1].split()
    client.ok("CREATE other")
    begun = int(time.time())
    append(client, "INBOX", OLD)
    append(client, "INBOX")
    append(client, "INBOX", OLD)
    client.ok("SELECT INBOX")
    saved, internal = dates(client, "1:3"), dates(client, "1:3", "INTERNALDATE")
    assert internal[0] == internal[2] < begun <= internal[1]
    assert all(begun <= date <= time.time() + 1 for date in saved)
    assert 0 <= saved[1] - internal[1] <= 1  # a second may begin between arrival and commit
    time.sleep(2.1)
    client.ok("COPY 1:2 other")
    client.ok("MOVE 3 other")
    client.ok("SELECT other")
    later = dates(client, "1:3")
    assert all(date >= begun + 2 for date in later)
    assert dates(client, "1:3", "INTERNALDATE") == [internal[0], internal[1], internal[2]]
    today = time.strftime("%d-%b-%Y", time.gmtime())
    assert search(client, f"SAVEDON {today}") == [b"1", b"2", b"3"]
    assert search(client, f"SAVEDSINCE {today} BEFORE 1-Jan-2010") == [b"1", b"3"]
    assert search(client, "SAVEDBEFORE 1-Jan-2010") == []
    assert search(client, "SAVEDATESUPPORTED") == [b"1", b"2", b"3"]
    assert search(client, "NOT SAVEDON 5-Mar-2001 ON 5-Mar-2001") == [b"1", b"3"]

