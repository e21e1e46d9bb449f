"""The client's side of SASL mechanisms that Python's own modules do not have."""
import base64
import hashlib
import hmac
import json
import subprocess


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



class Issuer:
    """Makes tokens: an ES256 key made by openssl, and the JWK Set that verifies them."""

    def __init__(self, folder):
        self.key = folder / "issuer.pem"
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key], check=True)
        der = subprocess.run(["openssl", "ec", "-in", self.key, "-pubout", "-outform", "DER"], check=True,
                             capture_output=True).stdout
        self.jwks = json.dumps({"keys": [{"kty": "EC", "crv": "P-256", "kid": "now", "x": url64(der[-64:-32]),
                                          "y": url64(der[-32:])}]})

    def token(self, **claims):
        head = url64(json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": "now"}).encode())
        covered = head + "." + url64(json.dumps(claims).encode())
        der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=covered.encode(), check=True,
                             capture_output=True).stdout
        return covered + "." + url64(raw_signature(der))


def url64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def raw_signature(der):
    """SEQUENCE { r INTEGER, s INTEGER } as 64 bytes."""
    at, numbers = 2, b""
    for _ in range(2):
        size = der[at + 1]
        numbers += int.from_bytes(der[at + 2:at + 2 + size], "big").to_bytes(32, "big")
        at += 2 + size
    return numbers


def oauthbearer(user, token):
    """RFC 7628 section 4.1."""
    return f"n,a={user},\1host=mail.example.test\1port=993\1auth=Bearer {token}\1\1" if user else \
        f"n,,\1auth=Bearer {token}\1\1"


def xoauth2(user, token):
    return f"user={user}\1auth=Bearer {token}\1\1"
