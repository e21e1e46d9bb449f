"""Programs people use: swaks, msmtp, curl, mbsync, mutt."""
import os
import pty
import select
import shutil
import subprocess
import time

import mail
import pytest


def run(command, timeout=60, **options):
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=timeout, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def home(scratch, user):
    folder = scratch / f"client-{user.address}"
    folder.mkdir()
    return folder


def certificate(server):
    return server.config["tls"][0]["cert"]


@pytest.mark.parametrize("words", [
    ["--server", "127.0.0.1:{mx}"],
    ["--server", "127.0.0.1:{mx}", "-tls"],
    ["--server", "127.0.0.1:{mx}", "--pipeline"],
    ["--server", "127.0.0.1:{submission}", "-tls", "--auth", "PLAIN", "login"],
    ["--server", "127.0.0.1:{submission}", "-tls", "--auth", "LOGIN", "login"],
    ["--server", "127.0.0.1:{smtps}", "--tls-on-connect", "--auth", "PLAIN", "login"],
    ["--server", "127.0.0.1:{mx-proxy}", "--proxy-version", "2", "--proxy-family", "AF_INET", "--proxy-source", "203.0.113.9",
     "--proxy-source-port", "4444", "--proxy-dest", "127.0.0.1", "--proxy-dest-port", "25", "--proxy-command", "PROXY",
     "--proxy-protocol", "STREAM"],
])
def test_swaks(server, imap, user, words):
    words = [word.format(**server.ports) for word in words]
    sender = "stranger@remote.test"
    if words[-1] == "login":
        words[-1:] = ["--auth-user", user.address, "--auth-password", user.password]
        sender = user.address
    run(["swaks", "--to", user.address, "--from", sender, "--helo", "client.test", "--silent", "2", "--attach-type",
         "text/plain", "--attach-body", "attached", *words])
    imap(user).wait_messages(1)


def test_msmtp(server, imap, user, home):
    config = home / "msmtprc"
    config.write_text(f"account default\nhost localhost\nport {server.ports['submission']}\nauth on\nuser {user.address}\n"
                      f"password {user.password}\nfrom {user.address}\ntls on\ntls_starttls on\n"
                      f"tls_trust_file {certificate(server)}\n")
    config.chmod(0o600)
    run(["msmtp", "-C", config, user.address], input=mail.plain(sender=user.address).decode().replace("\r\n", "\n"))
    imap(user).wait_messages(1)


def test_curl(server, imap, user, home):
    word = mail.marker()
    (home / "message").write_bytes(mail.plain(subject=word, sender=user.address))
    secure = ["curl", "-sS", "--max-time", "20", "--cacert", certificate(server), "-u", f"{user.address}:{user.password}"]
    run([*secure, f"smtps://localhost:{server.ports['smtps']}", "--mail-from", user.address, "--mail-rcpt", user.address,
         "-T", home / "message"])
    imap(user).wait_messages(1)
    assert word in run([*secure, f"imaps://localhost:{server.ports['imaps']}/INBOX;UID=1"])
    assert "SEARCH 1" in run([*secure, f"imaps://localhost:{server.ports['imaps']}/INBOX?SUBJECT%20{word}"])


def mbsyncrc(server, user, home):
    text = f"""
IMAPAccount far
Host localhost
Port {server.ports['imaps']}
User {user.address}
Pass {user.password}
SSLType IMAPS
CertificateFile {certificate(server)}
AuthMechs PLAIN

IMAPStore far
Account far

MaildirStore near
Path {home}/mail/
Inbox {home}/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
"""
    (home / "mbsyncrc").write_text(text)
    (home / "mail").mkdir(exist_ok=True)
    return ["mbsync", "-q", "-c", home / "mbsyncrc", "all"]


def maildir(home, folder="INBOX"):
    return sorted(path for sub in ("new", "cur") for path in (home / "mail" / folder / sub).iterdir())


def test_mbsync_both_ways(server, imap, user, home):
    client = imap(user)
    words = [mail.marker() for _ in range(4)]
    for word in words[:3]:
        client.append("INBOX", mail.plain(subject=word))
    client.append("Sent", mail.multipart(words[3]), "\\Seen")
    sync = mbsyncrc(server, user, home)
    run(sync, env=dict(os.environ, HOME=str(home)))
    assert len(maildir(home)) == 3 and len(maildir(home, "Sent")) == 1

    # near side: one flagged, one deleted, one new message, one new folder
    by_word = {word: path for path in maildir(home) for word in words if word in path.read_text()}
    flagged, gone = by_word[words[0]], by_word[words[1]]

    def with_flags(path, flags):
        base = path.name.split(":2,")[0]
        path.rename(path.parent.parent / "cur" / f"{base}:2,{flags}")
    with_flags(flagged, "FS")
    with_flags(gone, "T")
    (home / "mail/INBOX/new/1.local.host").write_bytes(mail.plain(subject="from the near side").replace(b"\r\n", b"\n"))
    for sub in ("new", "cur", "tmp"):
        (home / "mail/Projects" / sub).mkdir(parents=True)
    # far side: one more message
    client.append("INBOX", mail.plain(subject="from the far side"))
    run(sync, env=dict(os.environ, HOME=str(home)))

    client.ok("SELECT INBOX")
    answer = client.ok("FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    assert len(answer.all(rb"FETCH")) == 4
    assert answer.find(rb"FLAGS \([^)]*\\Flagged[^)]*\).*" + words[0].encode())
    assert not answer.find(words[1].encode()) and answer.find(b"from the near side") and answer.find(b"from the far side")
    assert client.ok('LIST "" Projects').find(rb"Projects")
    assert any("from the far side" in path.read_text() for path in maildir(home))
    wanted = "STATUS Sent (UIDNEXT UIDVALIDITY HIGHESTMODSEQ)"
    before = client.ok(wanted).find(rb"\* STATUS .*")[0]
    run(sync, env=dict(os.environ, HOME=str(home)))
    assert client.ok(wanted).find(rb"\* STATUS .*")[0] == before, "a third run changes nothing"


def in_terminal(command, keys, done, env, timeout=40):
    """Runs a full-screen program in a pty, sends one key string whenever it has been quiet for a moment, until `done()`."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe(command[0], list(map(str, command)), env)
    screen, keys = b"", list(keys)
    deadline = time.monotonic() + timeout
    try:
        while time.monotonic() < deadline:
            ready, _, _ = select.select([fd], [], [], 0.4)
            if ready:
                try:
                    screen += os.read(fd, 65536)
                    continue
                except OSError:
                    break
            if keys:
                os.write(fd, keys.pop(0).encode())
            elif done():
                return screen
        assert done(), screen[-3000:].decode("utf-8", "replace")
        return screen
    finally:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
        os.waitpid(pid, 0)
        os.close(fd)


def muttrc(server, user, home):
    (home / "muttrc").write_text(f"""
set folder="imaps://localhost:{server.ports['imaps']}/"
set spoolfile="+INBOX" record="+Sent" postponed="+Drafts" trash="+Trash"
set imap_user="{user.address}" imap_pass="{user.password}" smtp_pass="{user.password}"
set smtp_url="smtp://{user.address.replace('@', '%40')}@localhost:{server.ports['submission']}/"
set from="{user.address}" realname="A User" use_from=yes ssl_verify_host=no ssl_force_tls=yes
set certificate_file="{certificate(server)}" header_cache="" message_cachedir="" imap_idle=yes delete=yes quit=yes
set ssl_ca_certificates_file="{certificate(server)}" wait_key=no copy=yes
mailboxes +INBOX +Sent +Junk
""")
    return dict(os.environ, HOME=str(home), TMPDIR=str(home), TERM="xterm", LANG="C.UTF-8")


def test_mutt_sends_in_batch_mode(server, imap, new_user, home):
    sender, receiver = new_user(), new_user()
    env = muttrc(server, sender, home)
    (home / "file.bin").write_bytes(b"\0\1\2" * 100)
    run(["mutt", "-n", "-F", home / "muttrc", "-s", "from mutt", "-a", home / "file.bin", "--", receiver.address],
        env=env, input="text of mutt\n")
    client = imap(receiver)
    client.wait_messages(1)
    client.ok("SELECT INBOX")
    assert client.ok("FETCH 1 BODYSTRUCTURE").find(rb'"file.bin"')
    imap(sender).wait_messages(1, mailbox="Sent")


def test_mutt_reads_moves_and_deletes(server, imap, user, home):
    if shutil.which("mutt") is None:
        pytest.skip("mutt is not installed")
    client = imap(user)
    for number in range(4):
        client.append("INBOX", mail.plain(subject=f"for mutt {number}"))

    def count(mailbox):
        return int(client.ok(f"STATUS {mailbox} (MESSAGES)").find(rb"MESSAGES (\d+)")[1])

    # read the first, save the second to Junk, delete the third, write the changes, leave
    keys = ["1\n", "\n", "q", "2\n", "s", "=Junk\n", "3\n", "d", "$", "q"]
    in_terminal(["mutt", "-n", "-F", home / "muttrc"], keys, lambda: count("INBOX") == 2 and count("Junk") == 1,
                muttrc(server, user, home))
    client.ok("SELECT INBOX")
    assert client.ok("FETCH 1 FLAGS").find(rb"\\Seen")


def test_mutt_answers_in_batch(server, imap, user, home):
    """mutt -e in batch mode only opens and leaves: with the server's own STATUS, ENABLE and IDLE in between."""
    if shutil.which("mutt") is None:
        pytest.skip("mutt is not installed")
    imap(user).append("INBOX", mail.plain(subject="one"))
    shown = in_terminal(["mutt", "-n", "-F", home / "muttrc", "-e", "push <exit>"], [], lambda: True,
                        muttrc(server, user, home))
    assert b"Login failed" not in shown and b"error" not in shown.lower()
