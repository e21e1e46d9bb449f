"""elsewhere.py: the rest of the world in the demo of ./dev run: a DNS that knows its few names, and a mail server of another domain
that tells what arrives. On loopback; started and ended by demo.py."""
import socket
import struct
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "system"))
from peers.smtpserver import SmtpServer  # noqa: E402

TYPES = {"A": 1, "MX": 15, "TXT": 16}
NOERROR, NXDOMAIN = 0, 3


def encode_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def encode(kind, value):
    """The data of a record. MX: the host, with preference 10."""
    if kind == "A":
        return socket.inet_aton(value)
    if kind == "MX":
        return struct.pack(">H", 10) + encode_name(value)
    text = value.encode()
    return b"".join(bytes([len(text[at:at + 255])]) + text[at:at + 255] for at in range(0, len(text), 255))


class Dns:
    """records: {name: {"A" | "MX" | "TXT": value}}. Everything else does not exist."""

    def __init__(self, port, records):
        self.records = records
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))

    def start(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def _serve(self):
        while True:
            try:
                packet, client = self.socket.recvfrom(4096)
                self.socket.sendto(self.answer(packet), client)
            except (ValueError, IndexError, struct.error):
                continue  # no question
            except OSError:
                return

    def answer(self, packet):
        labels, at = [], 12
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode("ascii").lower())
            at += 1 + packet[at]
        question, kind = packet[12:at + 5], struct.unpack(">H", packet[at + 1:at + 3])[0]
        known = self.records.get(".".join(labels))
        found = [encode(name, value) for name, value in (known or {}).items() if TYPES[name] == kind]
        code = NOERROR if known or any(name.endswith("." + ".".join(labels)) for name in self.records) else NXDOMAIN
        head = packet[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, len(found), 0, 0)
        return head + question + b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data for data in found)

    def stop(self):
        self.socket.close()


class MailServer(SmtpServer):
    """Takes everything, and calls `told` with a few lines about each message."""

    def __init__(self, port, domain, cert, told):
        super().__init__(port, name=f"mx.{domain}", cert=cert, script={"body": self.tell})
        self.domain, self.told = domain, told

    def tell(self, session, message):
        signature = message.header("DKIM-Signature") or ""
        tags = dict(tag.strip().partition("=")[::2] for tag in signature.split(";") if "=" in tag)
        signed = f"DKIM-Signature of {tags['d']}, selector {tags['s']}, {tags['a']}" if {"d", "s", "a"} <= tags.keys() else "no DKIM-Signature"
        self.told(f"[{self.domain}] a message has arrived: {message.header('Subject')!r}\n"
                  f"    from <{message.sender}> to {', '.join(f'<{to}>' for to in message.to)}, {len(message.data)} bytes, "
                  f"{session.tls or 'in the clear'}, {signed}")
        return None
