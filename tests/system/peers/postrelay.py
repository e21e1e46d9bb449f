"""Postfix that takes mail from loopback and hands it on: our peer in the bench of outgoing mail. As Debian ships it in all that
costs time; TLS to the other side as the bench asks for it."""
import os
import subprocess
from pathlib import Path

from .postfix import POSTFIX, Private

MAIN_CF = """
myhostname = peer.bench.test
mynetworks = 127.0.0.0/8
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = none
smtp_tls_security_level = {tls}
smtp_tls_session_cache_database = btree:{home}/pdata/smtp_scache
default_process_limit = 250
relayhost = {relayhost}
transport_maps = texthash:{home}/etc/transport
defer_transports = smtp
"""


class PostRelay(Private):
    """transports: {domain: "smtp:[address]:port"}. Mail waits until release()."""

    def __init__(self, home, port, relayhost="", transports=None, tls="may"):
        super().__init__(home, ())
        self.port = port
        self.write_postfix(MAIN_CF.format(home=self.home, relayhost=relayhost, tls=tls), f"127.0.0.1:{port} inet n - n - - smtpd")
        self.write("transport", "".join(f"{domain} {way}\n" for domain, way in (transports or {}).items()))

    def start(self, timeout=20):
        return self.launch([POSTFIX], [self.port], timeout)

    def _inside(self, *words):
        first = int((self.home / "queue/pid/master.pid").read_text())  # a number of the namespace: 1 is our shell there
        assert first > 1
        shell = next(pid for pid in map(int, Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()))
        subprocess.run(["nsenter", "--target", str(shell), "--mount", "--pid", *map(str, words)], check=True, capture_output=True, timeout=60)

    def configure(self, **settings):
        self._inside("/usr/sbin/postconf", "-c", self.home / "etc", "-e", *(f"{name}={value}" for name, value in settings.items()))
        self._inside("/usr/sbin/postfix", "-c", self.home / "etc", "reload")

    def hold(self):
        self.configure(defer_transports="smtp")

    def release(self):
        """From now on what waits is sent."""
        self.configure(defer_transports="")
        self._inside("/usr/sbin/postqueue", "-c", self.home / "etc", "-f")

    def waiting(self):
        return sum(len(files) for name in ("incoming", "active", "deferred") for _, _, files in os.walk(self.home / "queue" / name))
