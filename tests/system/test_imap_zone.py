"""INTERNALDATE and the days of BEFORE, ON and SINCE in the server's time zone."""
import pytest
from rockdove import Server
from wire import Imap

EASTERN_EUROPE = "EET-2EEST,M3.5.0/3,M10.5.0/4"  # as POSIX writes it: no zone files needed
MESSAGE = "Subject: x\r\n\r\nbody\r\n"
APPENDED = ["24-Mar-2007 23:59:59 +0200", "25-Mar-2007 00:00:00 +0200", "25-Mar-2007 02:00:00 +0200", "25-Mar-2007 04:00:00 +0300",
            "25-Mar-2007 23:59:59 +0300", "26-Mar-2007 00:00:00 +0300"]


@pytest.fixture(scope="module")
def user(scratch, certs):
    """A logged-in client with a mailbox of these messages; the last is from elsewhere."""
    server = Server(scratch / "zone", certs, {"z@example.test": "secret"}, listeners=["mx", "imap", "metrics"],
                    env={"TZ": EASTERN_EUROPE})
    server.start()
    try:
        with Imap(server.ports["imap"]) as client:
            client.login("z@example.test", "secret")
            for date in [*APPENDED, "25-Mar-2007 12:00:00 -0700"]:
                assert client.append("INBOX", MESSAGE, date=date).status == "OK"
            client.ok("SELECT INBOX")
            yield client
    finally:
        server.kill()


def test_dates_are_told_as_the_clock_here_shows_them(user):
    told = [m[1].decode() for m in user.ok("FETCH 1:* INTERNALDATE").all(rb'INTERNALDATE "([^"]*)"')]
    assert told == [*APPENDED, "25-Mar-2007 22:00:00 +0300"]


@pytest.mark.parametrize("keys", ["", "SUBJECT x ", "SAVEDSINCE 1-Jan-2020 "])  # the image answers, store, and store with more
@pytest.mark.parametrize("key,found", [("BEFORE 25-Mar-2007", b"1"), ("ON 24-Mar-2007", b"1"), ("ON 25-Mar-2007", b"2 3 4 5 7"),
                                       ("SINCE 26-Mar-2007", b"6"), ("NOT SINCE 25-Mar-2007", b"1")])
def test_days_begin_as_they_do_here(user, keys, key, found):
    assert user.ok(f"SEARCH {keys}{key}").untagged[-1] == b"* SEARCH " + found
