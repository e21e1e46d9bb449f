"""The servers of the IMAP benches: Rockdove, and one Dovecot that serves each user from sdbox or Maildir, with the
syncs of its default or with mail_fsync=always."""
import os
import shutil
import sys
from pathlib import Path

from common import PASSWORD, Server, TOP, free_port

sys.path.insert(0, str(TOP / "tests" / "system"))

from peers.postdove import DOVECOT_CONF, DOMAIN  # noqa: E402
from peers.postfix import DOVECOT, VMAIL, Private  # noqa: E402

LISTENERS = ("mx", "imap", "imaps", "metrics")
FORMATS = ("sdbox", "maildir")


def forget_pages(folder):
    """Writes back and drops what the kernel keeps of these files."""
    os.sync()
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                fd = os.open(Path(path, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except OSError:
                continue
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            except OSError:
                pass
            os.close(fd)


class Rockdove:
    """users: names without domain; each is one account."""
    kinds = ("ours",)

    def __init__(self, folder, certs, users):
        self.folder = folder
        self.server = Server(folder, certs, {f"{user}@{DOMAIN}": PASSWORD for user in users}, listeners=LISTENERS, domains=[{"name": DOMAIN}],
                             trusted_networks=["127.0.0.0/8"], log=[{"to": folder / "mail.log", "format": "text"}])
        self.ports = {"imap": self.server.ports["imap"], "imaps": self.server.ports["imaps"], "mail": self.server.ports["mx"]}

    def start(self):
        self.server.start(timeout=60)
        return self

    def stop(self):
        self.server.stop(timeout=60)

    def pid(self):
        return self.server.process.pid

    def user(self, name, kind, durable=False):
        return f"{name}@{DOMAIN}"


class Dovecot(Private):
    """The user ann has ann-sdbox and ann-maildir, and both again with -always behind for the same mail with all syncs."""
    kinds = FORMATS

    def __init__(self, folder, certs, users):
        kept = (folder / "mail").is_dir()
        if kept:  # filled by an earlier run
            for name in ("run", "etc", "log", "private"):
                shutil.rmtree(folder / name, ignore_errors=True)
            (folder / "mail").rename(folder / "mail.kept")
        super().__init__(folder, ("run", "mail"))
        if kept:
            (folder / "mail").rmdir()
            (folder / "mail.kept").rename(folder / "mail")
        self.folder = folder
        self.ports = {name: free_port() for name in ("imap", "imaps", "lmtp")}
        self.ports["mail"] = self.ports["lmtp"]
        etc = folder / "etc"
        os.chown(folder / "mail", VMAIL, VMAIL)
        for source, name in zip(certs.make("localhost", stem="peer"), ("cert.pem", "key.pem")):
            shutil.copy(source, etc / name)
        words = dict(home=folder, domain=DOMAIN, cert=etc / "cert.pem", key=etc / "key.pem", smtp=0, **self.ports)
        self.write("dovecot.conf", DOVECOT_CONF.format(**words))
        self.write("passwd", "".join(line for user in users for line in self._lines(user)))

    def _lines(self, user):
        for kind in FORMATS:
            home = f"{self.home}/mail/{user}-{kind}"
            for tail, sync in (("", "optimized"), ("-always", "always"), ("-never", "never")):
                yield (f"{user}-{kind}{tail}@{DOMAIN}:{{PLAIN}}{PASSWORD}:{VMAIL}:{VMAIL}::{home}::"
                       f"userdb_mail={kind}:{home}/{kind} userdb_mail_fsync={sync}\n")

    def start(self):
        return self.launch([DOVECOT], [self.ports["imap"]], 20)

    def pid(self):
        return self.process.pid

    def user(self, name, kind, durable=False):
        return f"{name}-{kind}{'-always' if durable else ''}@{DOMAIN}"
