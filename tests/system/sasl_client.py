"""The client's side of SASL mechanisms that Python's own modules do not have."""
import base64
import hashlib
import hmac


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def end_point(sock):
    """RFC 5929 section 4.1, for certificates signed with SHA-256."""
    return hashlib.sha256(sock.getpeercert(binary_form=True)).digest()


class Scram:
    """SCRAM-SHA-256 (RFC 5802, RFC 7677). `flag`: "n", "y" or "p=tls-unique"; `channel`: the data bound to."""

    def __init__(self, user, password, flag="n", channel=b""):
        self.password, self.channel = password.encode(), channel
        self.header = f"{flag},,"
        self.bare = f"n={user},r=fyko+d2lbbFgONRv9qkxdawL"

    def first(self):
        return self.header + self.bare

    def final(self, server_first):
        parts = dict(part.split("=", 1) for part in server_first.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(parts["s"]), int(parts["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without = f"c={b64(self.header.encode() + self.channel)},r={parts['r']}"
        message = f"{self.bare},{server_first},{without}".encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self.server = b64(hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256"))
        return f"{without},p={b64(proof)}"

