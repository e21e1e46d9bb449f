"""Self-signed certificates for tests, made once per name and session."""
import subprocess
from pathlib import Path


class Certs:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def make(self, *names, stem=None):
        """(cert path, key path) of a certificate for these DNS names."""
        stem = stem or names[0]
        cert, key = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        if not cert.exists():
            san = ",".join(f"DNS:{name}" for name in names) + ",IP:127.0.0.1"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                            "-nodes", "-days", "30", "-subj", f"/CN={names[0]}", "-addext", f"subjectAltName={san}",
                            "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True, timeout=30)
        return cert, key
