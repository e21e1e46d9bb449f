"""The three promises of the README. On the release build, with real processes; as root and as an ordinary user."""
import errno
import os
import re
import signal
import socket
import stat
import struct
import subprocess
import time
from pathlib import Path

import mail
import pytest
from inject import Process, take_descriptor
from rockdove import BINARY, TOP
from wire import Imap, Smtp

NETWORK_ROLES = ("smtp", "imap", "http")
REFUSED = {-errno.EPERM, -errno.EACCES, -errno.ENOSYS, None}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="looks into other processes: needs root")


@pytest.fixture(scope="module", params=["root", "user"])
def rooms(request, scratch, certs, tmp_path_factory):
    """A running server: every role with a uid of its own, or all as one ordinary user."""
    from conftest import ACCOUNTS
    from rockdove import Server
    home = scratch / f"promises-{request.param}"
    server = Server(home, certs, ACCOUNTS)
    if request.param == "user":
        for path in [home, *home.rglob("*"), certs.folder, *certs.folder.rglob("*")]:
            os.chown(path, 65534, 65534)
        wrapper = home / "as-user"
        wrapper.write_text(f'#!/bin/sh\nexec setpriv --reuid 65534 --regid 65534 --clear-groups "{BINARY}" "$@"\n')
        wrapper.chmod(0o755)
        server.binary = wrapper
    server.start()
    yield server
    server.stop()


# ---- 1. No process that parses a stranger's bytes can open the mail store.

def descriptors(pid):
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            yield int(entry.name), os.readlink(entry), entry.stat(), \
                int(re.search(r"flags:\s+0*(\d+)", Path(f"/proc/{pid}/fdinfo/{entry.name}").read_text())[1], 8)
        except FileNotFoundError:
            pass


@pytest.mark.parametrize("role", NETWORK_ROLES)
def test_network_roles_hold_no_folder_and_no_writable_file(rooms, role):
    logs = {os.stat(rooms.home / "mail.log").st_ino}
    for fd, target, info, flags in descriptors(rooms.roles()[role]):
        assert not stat.S_ISDIR(info.st_mode), (fd, target)
        if stat.S_ISREG(info.st_mode) and not target.startswith("/memfd:"):
            assert info.st_ino in logs and flags & os.O_APPEND, (fd, target)
        if target.startswith("/memfd:") and "metric" not in target:
            assert flags & os.O_ACCMODE == os.O_RDONLY or sealed(rooms.roles()[role], fd), (fd, target)


def sealed(pid, fd):
    import fcntl
    copy = take_descriptor(pid, fd)
    try:
        return fcntl.fcntl(copy, 1034) & (8 | 16)  # F_GET_SEALS: F_SEAL_WRITE or F_SEAL_FUTURE_WRITE
    finally:
        os.close(copy)


def test_a_reading_session_holds_only_read_only_messages(rooms):
    address = "t150@example.test"
    with Smtp(rooms.ports["mx"]) as client:
        client.cmd("EHLO x")
        client.cmd("MAIL FROM:<a@remote.test>")
        assert client.cmd(f"RCPT TO:<{address}>").code == 250
        assert client.data(mail.plain()).code == 250
    with Imap(rooms.ports["imap"]) as client:
        assert client.login(address, "pw-150").status == "OK"
        client.ok("SELECT INBOX")
        client.ok("FETCH 1 BODY[]")
        pid = rooms.roles()["imap"]
        for fd, target, info, flags in descriptors(pid):
            assert not stat.S_ISDIR(info.st_mode), target
            if target.endswith(".eml") or "/msg/" in target:
                assert flags & os.O_ACCMODE == os.O_RDONLY, target


@pytest.mark.parametrize("role", NETWORK_ROLES)
def test_every_thread_is_confined(rooms, role):
    pid = rooms.roles()[role]
    for task in Path(f"/proc/{pid}/task").iterdir():
        status = (task / "status").read_text()
        assert re.search(r"^Seccomp:\s+2$", status, re.M), status
        assert re.search(r"^NoNewPrivs:\s+1$", status, re.M)
        assert re.search(r"^CapEff:\s+0+$", status, re.M)


ATTEMPTS = {
    "open a file": ("openat", -100, b"/etc/passwd", os.O_RDONLY, 0),
    "open with the old call": ("open", b"/etc/passwd", os.O_RDONLY, 0),
    "make a folder": ("mkdir", b"/tmp/owned", 0o777),
    "remove a file": ("unlink", b"/etc/passwd"),
    "open a TCP socket": ("socket", socket.AF_INET, socket.SOCK_STREAM, 0),
    "open a UNIX socket": ("socket", socket.AF_UNIX, socket.SOCK_STREAM, 0),
    "connect": ("connect", 3, b"\x02\x00\x00\x19\x7f\x00\x00\x01" + b"\0" * 8, 16),
    "run a program": ("execve", b"/bin/sh", 0, 0),
    "make a process": ("clone", signal.SIGCHLD, 0, 0, 0, 0),
    "signal another": ("kill", 1, 0),
    "trace another": ("ptrace", 16, 1, 0, 0),
    "make memory executable": ("mmap", 0, 4096, 7, 0x22, -1, 0),
}


@pytest.mark.parametrize("role", [*NETWORK_ROLES, "scan", "dns"])
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_what_a_hijacked_role_tries_is_refused(rooms, role, attempt):
    if role == "dns" and attempt == "open a TCP socket":
        pytest.skip("asking resolvers is what it is for")
    with Process(rooms.roles()[role]) as process:
        result = process.call(*ATTEMPTS[attempt])
    allowed = REFUSED
    if role == "dns" and attempt == "connect":
        allowed = REFUSED | {-errno.EISCONN, -errno.ENOTSOCK, -errno.EINVAL, -errno.EAFNOSUPPORT, -errno.EBADF}
    if role == "scan":  # may open files, but only below its own folder
        allowed = REFUSED | {-errno.ENOENT, -errno.ENOTDIR}
    assert result in allowed, result


def test_the_store_of_mail_is_out_of_reach_of_scan(rooms):
    victim = next((rooms.home / "data" / "store").rglob("*.eml"), None)
    path = str(victim or rooms.home / "data" / "store").encode()
    with Process(rooms.roles()["scan"]) as process:
        assert process.call("openat", -100, path, os.O_RDONLY, 0) in REFUSED | {-errno.ENOENT}
        assert process.call("openat", -100, b"../store", os.O_RDONLY, 0) in REFUSED | {-errno.ENOENT}


def wire_type(name):
    """The number of a message in src/wire/wire.h."""
    body = re.search(r"enum wire_type \{(.*?)\};", (TOP / "src/wire/wire.h").read_text(), re.S)[1]
    names = re.findall(r"^\s*(WIRE_\w+),", re.sub(r"/\*.*?\*/", "", body, flags=re.S), re.M)
    return names.index(name)


def unix_peers():
    """{inode: peer inode} of all UNIX sockets."""
    lines = subprocess.run(["ss", "-xnH"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {int(words[5]): int(words[7]) for words in map(str.split, lines) if words[5].isdigit() and words[7].isdigit()}


def link_between(server, role, peer):
    """The descriptor number of `role`'s end of its link to `peer`."""
    def inodes(pid):
        return {int(m[1]): fd for fd, target, _, _ in descriptors(pid) if (m := re.fullmatch(r"socket:\[(\d+)\]", target))}
    deadline = time.monotonic() + 10
    while True:  # a role that was restarted a moment ago has its process before its links
        mine, theirs, peers = inodes(server.roles()[role]), inodes(server.roles()[peer]), unix_peers()
        found = [fd for inode, fd in mine.items() if peers.get(inode) in theirs]
        if found:
            return found[0]
        assert time.monotonic() < deadline, f"no link between {role} and {peer}"
        time.sleep(0.05)


@pytest.mark.parametrize("what", ["unknown grant", "somebody else's message", "garbage"])
def test_a_forged_message_condemns_the_role_that_sent_it(rooms, what):
    packets = {
        "unknown grant": (wire_type("WIRE_MBOX_LIST"), os.urandom(16)),
        "somebody else's message": (wire_type("WIRE_DELIVER"), b"\0" * 7),
        "garbage": (wire_type("WIRE_MBOX_SELECT"), b"\xff" * 9),
    }
    kind, body = packets[what]
    before, mark = rooms.roles(), rooms.mark()
    fd = take_descriptor(before["imap"], link_between(rooms, "imap", "store"))
    try:
        link = socket.socket(fileno=fd)
        link.send(struct.pack("<HHIHHI", kind, 0, 0x00010001, 0, 0, len(body)) + body)
    finally:
        link.close()
    rooms.wait_log(r"supervisor.condemned.*role=imap", mark)
    deadline = time.monotonic() + 5
    while rooms.roles().get("imap") in (None, before["imap"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    after = rooms.roles()
    assert {r: p for r, p in after.items() if r != "imap"} == {r: p for r, p in before.items() if r != "imap"}


# ---- 2. Every message is read once, in a sandbox, and becomes facts; everything after works on facts.

def test_imap_answers_from_facts_alone(rooms):
    """ENVELOPE and BODYSTRUCTURE come although the message file is gone and no scan runs."""
    address, password = "t151@example.test", "pw-151"
    with Smtp(rooms.ports["mx"]) as client:
        client.cmd("EHLO x")
        client.cmd("MAIL FROM:<a@remote.test>")
        client.cmd(f"RCPT TO:<{address}>")
        assert client.data(mail.plain(subject="facts only")).code == 250
    scans = {name: value for name, value in rooms.metrics().items() if name.startswith("rockdove_scans_total")}
    for path in (rooms.home / "data" / "store").rglob("*.eml"):
        if b"facts only" in path.read_bytes():
            path.unlink()
    with Imap(rooms.ports["imap"]) as client:
        assert client.login(address, password).status == "OK"
        client.ok("SELECT INBOX")
        answer = client.ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE)")
        assert answer.find(rb'"facts only"')
    assert scans and scans.items() <= rooms.metrics().items()


# ---- 3. 250 OK means it is on disk: test_durability.py kills, cuts the power and fails calls.
