"""Real programs the server is tested and measured against.

Daemons live unpacked, not installed, in .peers/root (`./dev peers` puts them there). Those that need no users of
their own are started with the library path pointing there; Postfix and Dovecot run in a private mount namespace where
those files lie over /usr and /etc.
"""
import os
import shutil
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
ROOT = Path(os.environ.get("ROCKDOVE_PEERS", TOP / ".peers" / "root"))
CLIENTS = Path(os.environ.get("ROCKDOVE_CLIENTS", TOP / ".peers" / "clients"))
PRIVATE_SH = Path(__file__).with_name("private.sh")


def missing_reason():
    """None when the unpacked peers are there, else a text for pytest.skip."""
    there = all((ROOT / "usr/sbin" / name).exists() for name in ("haproxy", "nsd", "postsrsd"))
    return None if there else "no peers in .peers/root: run ./dev peers"


def library_env():
    """The environment for a program started straight from .peers/root."""
    multiarch = next((ROOT / "usr/lib").glob("*-linux-gnu"), ROOT / "usr/lib")
    return dict(os.environ, LD_LIBRARY_PATH=f"{multiarch}:{ROOT}/usr/lib")


def clients_missing_reason():
    """None when the unpacked mail programs are there, else a text for pytest.skip."""
    there = all((CLIENTS / "usr/bin" / name).exists() for name in ("thunderbird", "neomutt", "offlineimap"))
    return None if there else "no mail programs in .peers/clients: ./dev test --clients fetches them"


def clients_env():
    """The environment for a program started straight from .peers/clients."""
    folders = [*(CLIENTS / "usr/lib").glob("*-linux-gnu"), CLIENTS / "usr/lib", CLIENTS / "usr/lib/thunderbird"]
    return dict(os.environ, LD_LIBRARY_PATH=":".join(map(str, folders)), PYTHONPATH=str(CLIENTS / "usr/lib/python3/dist-packages"))


_private = None


def private_reason():
    """None when Postfix and Dovecot can be started here, else why not. Tried once."""
    global _private
    if _private is None:
        _private = missing_reason() or _try_private()
    return _private or None


def _try_private():
    if os.geteuid() != 0:
        return "Postfix and Dovecot need root here, to run in a private mount namespace under users of their own"
    scratch = Path("/tmp") / f"rockdove-private-{os.getpid()}"
    scratch.mkdir()
    try:
        done = subprocess.run(private_command(scratch, ["/usr/sbin/postconf", "-d", "mail_version"]),
                              capture_output=True, text=True, timeout=20)
        return "" if done.returncode == 0 else "no private mount namespace here: " + done.stderr.strip()[-200:]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def private_command(scratch, command):
    """The argument list that runs `command` among the peers' files; everything it starts dies with it."""
    return ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
            "sh", str(PRIVATE_SH), str(ROOT), str(scratch), *map(str, command)]
