"""Certificates for tests, made once per name and session: self-signed ones, and ones of a CA of our own."""
import subprocess
from pathlib import Path

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*words, **options):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=30, **options)


def _san(names):
    return "subjectAltName=" + ",".join(name if ":" in name else f"DNS:{name}" for name in names)


class Certs:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def make(self, *names, stem=None):
        """(cert path, key path) of a self-signed certificate for these DNS names and 127.0.0.1."""
        stem = stem or names[0]
        cert, key = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        if not cert.exists():
            _openssl("req", "-x509", *KEY, "-days", 30, "-subj", f"/CN={names[0]}", "-addext", _san([*names, "IP:127.0.0.1"]),
                     "-keyout", key, "-out", cert)
        return cert, key

    @property
    def ca(self):
        """The file of our CA's certificate."""
        cert, key = self.folder / "ca.pem", self.folder / "ca.key"
        if not cert.exists():
            _openssl("req", "-x509", *KEY, "-days", 30, "-subj", "/CN=Test CA", "-addext", "basicConstraints=critical,CA:TRUE",
                     "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", key, "-out", cert)
        return cert

    def issue(self, *names, stem=None, days=30):
        """(cert path, key path) of a certificate by our CA, the CA's own behind it; days=-1: expired since yesterday."""
        ca = self.ca
        stem = f"ca-{stem or names[0]}" + ("-expired" if days < 0 else "")
        cert, key, request = (self.folder / f"{stem}.{kind}" for kind in ("pem", "key", "csr"))
        if not cert.exists():
            _openssl("req", *KEY, "-subj", f"/CN={names[0]}", "-keyout", key, "-out", request)
            (self.folder / f"{stem}.ext").write_text(_san(names) + "\nbasicConstraints=CA:FALSE\n")
            _openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca.with_suffix(".key"), "-CAcreateserial", "-days", days,
                     "-extfile", self.folder / f"{stem}.ext", "-out", cert)
            cert.write_text(cert.read_text() + ca.read_text())
        return cert, key
