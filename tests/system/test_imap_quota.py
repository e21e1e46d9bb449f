"""QUOTASET (RFC 9208): users lower their own limit, and never get above the administrator's."""
import mail
import pytest

SERVER = {"quota": {"account": "1M"}}


def test_own_limit(imap, user):
    client = imap(user)
    assert b"QUOTASET" in client.ok("CAPABILITY").find(rb"CAPABILITY (.*)")[1]
    assert client.ok('GETQUOTA "User quota"').find(rb"QUOTA \"User quota\" \(STORAGE 0 (\d+)\)")[1] == b"1024"
    answer = client.ok('SETQUOTA "User quota" (STORAGE 512 MESSAGE 2)')
    assert answer.find(rb'\* QUOTA "User quota" \(STORAGE 0 512 MESSAGE 0 2\)')
    for _ in range(2):
        assert client.append("INBOX", mail.plain()).status == "OK"
    answer = client.append("INBOX", mail.plain())
    assert answer.status == "NO" and "[OVERQUOTA]" in answer.text
    answer = client.cmd('SETQUOTA "User quota" (STORAGE 2048)')
    assert answer.status == "NO" and "[NOPERM]" in answer.text
    assert client.ok('GETQUOTA "User quota"').find(rb"MESSAGE 2 2\)")
    client.ok('SETQUOTA "User quota" (STORAGE 1024)')  # what is not named has no limit of one's own any more
    assert client.append("INBOX", mail.plain()).status == "OK"
    answer = client.ok('SETQUOTA "User quota" ()')
    assert answer.find(rb"\(STORAGE \d+ 1024\)")


def test_survives_a_restart(make_server):
    from wire import Imap
    from conftest import FREE
    server = make_server(**SERVER)
    address, password = sorted(FREE.items())[7]
    server.start()
    client = Imap(server.ports["imap"])
    client.login(address, password)
    client.ok('SETQUOTA "User quota" (MESSAGE 7)')
    client.close()
    server.stop()
    server.start()
    client = Imap(server.ports["imap"])
    client.login(address, password)
    assert client.ok('GETQUOTAROOT INBOX').find(rb"MESSAGE 0 7")
    client.close()


@pytest.mark.parametrize("text,code", [('"nowhere" (STORAGE 5)', "[NONEXISTENT]"), ('"User quota" (MAILBOX 5)', "[CANNOT]"),
                                       ('"User quota" (STORAGE 0)', "[CANNOT]"), ('"User quota" (STORAGE 9223372036854775807)', "[CANNOT]")])
def test_refused(imap, user, text, code):
    answer = imap(user).cmd(f"SETQUOTA {text}")
    assert answer.status == "NO" and code in answer.text


def test_deleted_storage(imap, user):
    """RFC 9208 section 4.1.4: octets an EXPUNGE would free; of STATUS, pipelined too, and of LIST."""
    client, other = imap(user), imap(user)
    for box in ("a", "b", "c"):
        client.ok(f"CREATE {box}")
        for size in (100, 1000, 10000):
            client.ok(f"APPEND {box} {{{size}+}}\r\n" + "Subject: x\r\n\r\n".ljust(size, "x"))
    other.ok("SELECT a")
    other.ok(r"STORE 1,3 +FLAGS (\Deleted)")
    other.ok("SELECT b")
    other.ok(r"STORE 2:3 +FLAGS (\Deleted)")
    other.ok("UID EXPUNGE 3")
    assert client.ok("STATUS a (DELETED-STORAGE DELETED)").find(rb"STATUS a \(DELETED 2 DELETED-STORAGE 10100\)$")
    assert client.ok("STATUS c (DELETED-STORAGE)").find(rb"STATUS c \(DELETED-STORAGE 0\)$")
    assert other.ok("STATUS b (DELETED-STORAGE)").find(rb"STATUS b \(DELETED-STORAGE 1000\)$"), "also of the selected one"
    client.send("".join(f"p{box} STATUS {box} (DELETED-STORAGE)\r\n" for box in "abc"))
    assert [client.until(f"p{box}".encode()).untagged for box in "abc"] == [
        [b"* STATUS a (DELETED-STORAGE 10100)"], [b"* STATUS b (DELETED-STORAGE 1000)"], [b"* STATUS c (DELETED-STORAGE 0)"]]
    rows = client.ok('LIST "" "%" RETURN (STATUS (MESSAGES DELETED-STORAGE))').all(rb"STATUS [abc] \(.*\)")
    assert [row[0] for row in rows] == [b"STATUS a (MESSAGES 3 DELETED-STORAGE 10100)", b"STATUS b (MESSAGES 2 DELETED-STORAGE 1000)",
                                        b"STATUS c (MESSAGES 3 DELETED-STORAGE 0)"]
    other.ok("EXPUNGE")
    assert client.ok("STATUS b (DELETED-STORAGE)").find(rb"\(DELETED-STORAGE 0\)$")
    assert client.cmd("STATUS nothere (DELETED-STORAGE)").text.startswith("[NONEXISTENT]")
