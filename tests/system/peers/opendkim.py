"""OpenDKIM as the judge of our signatures, in its test mode: a message in, what it makes of each signature out."""
import re
import subprocess
from pathlib import Path

from . import ROOT, library_env


def verify(home, message, records):
    """[(result, domain, selector, algorithm), …] of the signatures of a message (bytes with CRLF). records: {name: TXT}."""
    home = Path(home)
    home.mkdir(parents=True, exist_ok=True)
    (home / "message.eml").write_bytes(message)
    (home / "records").write_text("".join(f"{name.rstrip('.')} {text}\n" for name, text in records.items()))
    (home / "opendkim.conf").write_text(f"Mode v\nSyslog no\nTestDNSData file:{home}/records\n")
    done = subprocess.run([ROOT / "usr/sbin/opendkim", "-x", home / "opendkim.conf", "-t", home / "message.eml", "-vvv"], cwd=home,
                          env=library_env(), capture_output=True, text=True, timeout=20)
    text = done.stdout + done.stderr
    found = re.findall(r"dkim=(\w+)(?: reason=\"[^\"]*\")?[^;]*?header\.d=(\S+)[^;]*?header\.a=(\S+) header\.s=(\S+)", text)
    assert found or "not signed" in text, text
    return [(result, domain, selector, algorithm) for result, domain, algorithm, selector in found]
