"""Postfix's postscreen behind PROXY headers: the peer for what a refused connection costs."""
import socket
import time

from .postfix import POSTFIX, Private

MAIN_CF = """
myhostname = screen.{domain}
mynetworks = 127.0.0.0/8
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = none
smtp_tls_security_level = none
default_process_limit = 10000
postscreen_upstream_proxy_protocol = haproxy
postscreen_access_list = cidr:{home}/etc/banned.cidr
postscreen_denylist_action = drop
postscreen_greet_wait = {wait}s
postscreen_greet_action = drop
postscreen_client_connection_count_limit = 0
postscreen_pre_queue_limit = 20000
postscreen_cache_map = btree:{home}/pdata/postscreen_cache
"""

MASTER_CF = """127.0.0.1:{port} inet n - n - 1 postscreen
smtpd     pass  - - n - - smtpd
dnsblog   unix  - - n - 0 dnsblog
tlsproxy  unix  - - n - 0 tlsproxy
"""


class Postscreen(Private):
    """home: an empty folder below a path others may traverse. banned: networks that are refused."""

    def __init__(self, home, port, banned, wait=3, domain="bench.test"):
        super().__init__(home, ())
        self.port = port
        self.write_postfix(MAIN_CF.format(home=self.home, domain=domain, wait=wait), MASTER_CF.format(port=port))
        self.write("banned.cidr", "".join(f"{network} reject\n" for network in banned))

    def start(self, timeout=20):
        self.launch([POSTFIX], [], timeout)  # it greets nobody without a header
        deadline = time.monotonic() + timeout
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1):
                    return self
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.stop()
                    raise RuntimeError(f"postscreen does not listen; see {self.home}/log") from None
                time.sleep(0.05)
