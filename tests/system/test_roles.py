"""Each role killed or stopped: the others go on, it comes back, clients get a proper answer, nothing accepted is lost."""
import os
import signal
import time

import mail
import pytest
from rockdove import ROLES
from wire import Imap, Smtp

KILLABLE = [role for role in ROLES]


def wait_back(server, role, old, timeout=10):
    deadline = time.monotonic() + timeout
    while True:
        now = server.roles().get(role)
        if now not in (None, old):
            return now
        assert time.monotonic() < deadline, f"{role} did not come back\n" + "\n".join(server.lines[-20:])
        time.sleep(0.02)


def try_deliver(server, address, timeout=10):
    """The codes of one delivery, in order; [] when the connection broke or was refused."""
    codes = []
    try:
        with Smtp(server.ports["mx"], timeout=timeout) as client:
            for line in ("EHLO x", "MAIL FROM:<a@remote.test>", f"RCPT TO:<{address}>"):
                codes.append(client.cmd(line).code)
                if codes[-1] >= 400:
                    return codes
            codes.append(client.data(mail.plain()).code)
    except (EOFError, ConnectionError):
        pass
    return codes


def works_again(server, user, timeout=10):
    deadline = time.monotonic() + timeout
    while (codes := try_deliver(server, user.address))[-1:] != [250]:
        assert time.monotonic() < deadline, codes
        time.sleep(0.1)


@pytest.mark.parametrize("role", KILLABLE)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_role_comes_back_alone(server, imap, user, role, how):
    before = server.roles()
    assert set(ROLES) <= set(before)
    os.kill(before[role], how)
    wait_back(server, role, before[role])
    after = server.roles()
    assert {name: pid for name, pid in after.items() if name != role} == \
        {name: pid for name, pid in before.items() if name != role}
    works_again(server, user)
    client = imap(user)
    found = int(client.ok("STATUS INBOX (MESSAGES)").find(rb"MESSAGES (\d+)")[1])
    assert found >= 1
    server.wait_log(role)


@pytest.mark.parametrize("role", ["store", "queue", "scan", "auth"])
def test_clients_get_an_answer_while_a_role_is_away(server, user, role):
    """The role is stopped, not dead: requests to it run into their deadline or its restart, never into nothing."""
    pid = server.roles()[role]
    smtp_client = Smtp(server.ports["mx"], timeout=40)
    smtp_client.ehlo()
    imap_client = Imap(server.ports["imap"], timeout=40)
    if role != "auth":
        assert imap_client.login(user.address, user.password).status == "OK"
        imap_client.ok("SELECT INBOX")
    os.kill(pid, signal.SIGSTOP)
    try:
        codes = try_deliver(server, user.address, timeout=40)
        assert codes, "no answer at all"
        if codes[-1] != 250:
            assert codes[-1] in (451, 421), codes
        if role == "store":
            answer = imap_client.cmd("STATUS INBOX (MESSAGES)")
            assert answer.status == "OK" or (answer.status == "NO" and "UNAVAILABLE" in answer.text), answer
        if role == "auth":
            answer = imap_client.login(user.address, user.password)
            assert answer.status == "OK" or (answer.status == "NO" and "UNAVAILABLE" in answer.text), answer
    except EOFError:
        pass  # BYE and close after the restart of the role
    finally:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
    works_again(server, user, 30)


def test_unavailable_codes_while_the_store_is_dead(server, new_user):
    """Many tries around the death of store: each ends in 250, 451 4.3.0 or 421; every 250 is in the mailbox."""
    user = new_user()
    accepted, replies = 0, set()
    for round_number in range(5):
        pid = server.roles()["store"]
        with Smtp(server.ports["mx"]) as client:
            client.ehlo()
            for step in range(20):
                if step == 5:
                    os.kill(pid, signal.SIGKILL)
                reply = client.cmd("MAIL FROM:<a@remote.test>")
                if reply.code == 250:
                    reply = client.cmd(f"RCPT TO:<{user.address}>")
                if reply.code == 250:
                    reply = client.data(mail.plain(subject=f"{round_number}.{step}"))
                replies.add((reply.code, reply.text[:5]))
                accepted += reply.code == 250
                client.cmd("RSET")
        wait_back(server, "store", pid)
    assert {code for code, _ in replies} <= {250, 451, 421}, replies
    assert all(text == "4.3.0" for code, text in replies if code == 451), replies
    works_again(server, user)
    client = Imap(server.ports["imap"])
    client.login(user.address, user.password)
    client.wait_messages(accepted + 1)


def test_a_role_that_dies_often_is_slowed_down(make_server):
    server = make_server(listeners=["mx", "metrics"]).start()
    times = []
    for _ in range(5):
        pid = server.roles().get("scan")
        os.kill(pid, signal.SIGKILL)
        started = time.monotonic()
        wait_back(server, "scan", pid, 30)
        times.append(time.monotonic() - started)
    assert times[0] < 1 and times[-1] > times[0], times
    assert server.process.poll() is None


def test_livez_and_readyz(make_server):
    server = make_server(listeners=["mx", "imap", "metrics"]).start()
    assert server.get("/livez")[0] == 200 and server.get("/readyz")[0] == 200
    pid = server.roles()["store"]
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 30
    seen = set()
    while time.monotonic() < deadline and not {"hung"} & seen:
        if server.get("/livez")[0] != 200 or server.get("/readyz")[0] != 200 or server.roles().get("store") != pid:
            seen.add("hung")
        time.sleep(0.2)
    assert "hung" in seen, "a role that hangs is noticed"
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        pass
    deadline = time.monotonic() + 20
    while server.get("/readyz")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_sigterm_drains(make_server):
    """A transaction in flight may finish; new connections are not taken."""
    server = make_server(listeners=["mx", "imap"]).start()
    client = Smtp(server.ports["mx"])
    client.ehlo()
    client.envelope("a@remote.test", ["t3@example.test"])
    assert client.cmd("DATA").code == 354
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    client.send(mail.plain() + b".\r\n")
    assert client.reply().code == 250
    client.close()
    server.stop()
    server.start()
    box = Imap(server.ports["imap"])
    box.login("t3@example.test", "pw-3")
    box.wait_messages(1)


def test_a_drain_tells_idle_sessions_at_once(make_server):
    server = make_server(listeners=["mx", "imap"]).start()
    smtp, imap = Smtp(server.ports["mx"]), Imap(server.ports["imap"])
    smtp.ehlo()
    assert imap.login("t4@example.test", "pw-4").status == "OK"
    imap.ok("SELECT INBOX")
    imap.send("i IDLE\r\n")
    assert imap.response().startswith(b"+")
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert smtp.reply().code == 421
    assert imap.response().startswith(b"* BYE")
    server.stop()
    assert time.monotonic() - started < 3


def test_a_second_server_on_the_same_folder_refuses(make_server):
    server = make_server(listeners=["mx"]).start()
    other = make_server(listeners=["imap"], data=server.config["data"])
    done = other.command("run", check=False, timeout=15)
    assert done.returncode != 0 and "ready" not in done.stderr.splitlines()
    assert server.process.poll() is None


def test_reload(make_server, certs):
    """SIGHUP: new accounts and certificates at once, sessions stay; a broken file changes nothing."""
    import json
    server = make_server(listeners=["mx", "imap", "imaps"]).start()
    client = Imap(server.ports["imap"])
    assert client.login("t1@example.test", "pw-1").status == "OK"
    accounts = dict(server.accounts, **{"new@example.test": "fresh"})
    (server.home / "accounts.json").write_text(json.dumps(accounts))
    cert, key = certs.make("other.example.test")
    server.config["tls"] = [{"cert": cert, "key": key}]
    server.write_config()
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 5
    while True:
        with Imap(server.ports["imap"]) as fresh:
            if fresh.login("new@example.test", "fresh").status == "OK":
                break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    client.ok("NOOP")
    with Imap(server.ports["imaps"], tls=True) as secure:
        assert b"other.example.test" in secure.sock.getpeercert(True)
    server.file.write_text("hostname: [broken\n")
    mark = server.mark()
    server.process.send_signal(signal.SIGHUP)
    server.wait_log("rockdove.yaml", mark)
    client.ok("NOOP")
    with Smtp(server.ports["mx"]) as still:
        still.ehlo()


def test_changed_files_are_read_again_without_a_signal(make_server):
    """Written in place, and a symlink moved to another file, as Kubernetes does with secrets."""
    import json
    server = make_server(listeners=["mx", "imap"], watch_files="400ms")
    real, link = server.home / "accounts-1.json", server.home / "accounts.json"
    real.write_text(json.dumps(server.accounts))
    link.unlink(missing_ok=True)
    link.symlink_to(real)
    server.start()

    def logs_in(address, password):
        with Imap(server.ports["imap"]) as fresh:
            return fresh.login(address, password).status == "OK"

    def wait_login(address, password):
        deadline = time.monotonic() + 5
        while not logs_in(address, password):
            assert time.monotonic() < deadline, address
            time.sleep(0.1)

    real.write_text(json.dumps(dict(server.accounts, **{"new@example.test": "fresh"})))
    wait_login("new@example.test", "fresh")
    other = server.home / "accounts-2.json"
    other.write_text(json.dumps(dict(server.accounts, **{"other@example.test": "fresh"})))
    (server.home / "swap").symlink_to(other)
    os.rename(server.home / "swap", link)
    wait_login("other@example.test", "fresh")
    mark = server.mark()
    other.write_text("{ broken")
    server.wait_log("reload_failed", mark)
    assert logs_in("other@example.test", "fresh")
    mark = server.mark()
    time.sleep(1.5)
    assert not any("files_changed" in line for line in server.lines[mark:]), "the same broken file is tried once"


def test_restarts_and_reloads_are_counted(make_server):
    server = make_server(listeners=["mx", "metrics"]).start()
    mark = server.mark()
    os.kill(server.roles()["scan"], signal.SIGKILL)
    server.wait_log("role_ready role=scan", mark)
    assert server.metrics()['rockdove_role_restarts_total{role="scan"}'] == 1
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while not any(value for name, value in server.metrics().items() if name.startswith("rockdove_reloads_total")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
