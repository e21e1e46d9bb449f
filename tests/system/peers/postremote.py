"""Postfix as a server elsewhere: an MX with and without STARTTLS, and a relay with SASL (passwords checked by Dovecot) on a
submission port and on one with TLS at once. What it takes lies in one Maildir; Delivered-To says for whom.

Addresses that start with soft or hard get a 450 or a 550 at RCPT.
"""
import os
import shutil
import time

from .postfix import DOVECOT, POSTFIX, VMAIL, Private

MAIN_CF = """
myhostname = {name}
mynetworks =
virtual_mailbox_domains = static:all
virtual_mailbox_base = {home}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{vmail}
virtual_gid_maps = static:{vmail}
virtual_transport = virtual
smtpd_recipient_restrictions = check_recipient_access regexp:{home}/etc/access, permit_auth_destination, permit_sasl_authenticated, reject
smtpd_relay_restrictions =
smtpd_tls_cert_file = {cert}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{auth}
smtpd_sasl_authenticated_header = yes
default_process_limit = 100
virtual_mailbox_limit = 0
"""

LISTENING = """
{host}:{mx} inet n - n - - smtpd
{host}:{plain} inet n - n - - smtpd
  -o smtpd_tls_security_level=none
  -o smtpd_discard_ehlo_keywords=chunking,8bitmime,smtputf8,dsn,pipelining
{host}:{submission} inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
{host}:{smtps} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
"""

DOVECOT_CONF = """
base_dir = {home}/run
state_dir = {home}/run
log_path = {home}/log/dovecot.log
protocols =
listen = 127.0.0.1
default_login_user = dovenull
default_internal_user = dovecot
ssl = no
auth_mechanisms = plain login scram-sha-256 xoauth2
disable_plaintext_auth = no
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {home}/etc/passwd
}}
service auth {{
  inet_listener {{
    address = 127.0.0.1
    port = {auth}
  }}
}}
"""


class PostRemote(Private):
    """ports: mx, plain, submission, smtps, auth (the last for itself)."""

    def __init__(self, home, ports, cert, host="127.0.0.1", name="remote.test", users=None):
        super().__init__(home, ("run", "mail"))
        self.ports, self.host, self.users = ports, host, users or {"relayuser": "relay-secret"}
        etc = self.home / "etc"
        os.chown(self.home / "mail", VMAIL, VMAIL)
        for source, target in zip(cert, ("cert.pem", "key.pem")):
            shutil.copy(source, etc / target)
        words = dict(home=self.home, host=host, name=name, vmail=VMAIL, cert=etc / "cert.pem", key=etc / "key.pem", **ports)
        self.write_postfix(MAIN_CF.format(**words), LISTENING.format(**words))
        self.write("dovecot.conf", DOVECOT_CONF.format(**words))
        self.write("passwd", "".join(f"{user}:{{PLAIN}}{word}::::::\n" for user, word in self.users.items()))
        self.write("access", "/^soft/ 450 4.2.0 come again\n/^hard/ 550 5.1.1 no such user here\n")

    def start(self, timeout=20):
        return self.launch([DOVECOT, POSTFIX], [self.ports["mx"]], timeout, self.host)

    def messages(self, address):
        """The messages for an address, as bytes."""
        folder = self.home / "mail/all/new"
        texts = [file.read_bytes() for file in sorted(folder.iterdir())] if folder.is_dir() else []
        return [text for text in texts if f"\nDelivered-To: {address}\n".encode() in text]

    def wait_messages(self, address, count=1, timeout=30):
        deadline = time.monotonic() + timeout
        while len(found := self.messages(address)) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} messages for {address} instead of {count}\n" + self.log()[-3000:])
            time.sleep(0.05)
        assert len(found) == count, found
        return found

    def log(self):
        return (self.home / "log/postfix.log").read_text(errors="replace")
