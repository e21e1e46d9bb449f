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
