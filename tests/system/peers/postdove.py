"""Postfix delivering by LMTP to Dovecot's Maildir: the server's peer in every bench.

Both run as Debian ships them in all that costs time (fsync, privilege separation, one login process per connection for
Dovecot's high-security mode); only process limits are raised so that 200 connections are not refused, and the
client rate limits lifted because all clients come from one address.
"""
import os
import shutil

from .postfix import DOVECOT, POSTFIX, VMAIL, Private

DOMAIN = "bench.test"

MAIN_CF = """
myhostname = peer.{domain}
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = texthash:{home}/etc/users
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = none
smtp_tls_security_level = none
default_process_limit = 250
lmtp_destination_concurrency_limit = 50
lmtp_destination_recipient_limit = 1
"""

DOVECOT_CONF = """
base_dir = {home}/run
state_dir = {home}/run
log_path = {home}/log/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
default_login_user = dovenull
default_internal_user = dovecot
first_valid_uid = 500
mail_location = maildir:{home}/mail/%u
mail_fsync = optimized
disable_plaintext_auth = no
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
ssl_dh =
auth_mechanisms = plain login
postmaster_address = postmaster@{domain}
mail_max_userip_connections = 100000
default_client_limit = 20000
default_process_limit = 3000
default_vsz_limit = 1 G
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {home}/etc/passwd
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {home}/etc/passwd
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service imap {{
  process_limit = 3000
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
"""


class PostDove(Private):
    """home: an empty folder below a path others may traverse. ports: smtp, lmtp, imap, imaps."""

    def __init__(self, home, ports, users, cert, key, password="secret", postfix=True):
        super().__init__(home, ("run", "mail"))
        self.ports, self.password, self.with_postfix = ports, password, postfix
        self.users = list(users)
        etc = self.home / "etc"
        os.chown(self.home / "mail", VMAIL, VMAIL)
        for source, name in ((cert, "cert.pem"), (key, "key.pem")):
            shutil.copy(source, etc / name)
        words = dict(home=self.home, domain=DOMAIN, cert=etc / "cert.pem", key=etc / "key.pem", **self.ports)
        self.write_postfix(MAIN_CF.format(**words), f"127.0.0.1:{self.ports['smtp']} inet n - n - - smtpd" if postfix else "")
        self.write("dovecot.conf", DOVECOT_CONF.format(**words))
        self.write("users", "".join(f"{user} x\n" for user in self.users))
        self.write("passwd", "".join(f"{user}:{{PLAIN}}{self.password}:{VMAIL}:{VMAIL}::{self.home}/mail/{user}::\n" for user in self.users))

    def start(self, timeout=20):
        commands = [DOVECOT] + ([POSTFIX] if self.with_postfix else [])
        return self.launch(commands, [self.ports["imap"]] + ([self.ports["smtp"]] if self.with_postfix else []), timeout)

    def count_messages(self):
        """Messages readable in all mailboxes."""
        return sum(len(os.listdir(self.home / "mail" / user / folder))
                   for user in self.users for folder in ("new", "cur")
                   if (self.home / "mail" / user / folder).is_dir())

