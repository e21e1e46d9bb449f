"""From the mail server's yes to the EXISTS of the last of a user's idling sessions, with 2,000 sessions of 500 users."""
from common import PASSWORD, Row, tool
from imap import World

USERS = 500
SESSIONS = 2000
MESSAGES = 300
PEER_MESSAGES = 40  # Dovecot tells after half a second


def run(rounds):
    values = {}
    with World([f"user{number}" for number in range(USERS)]) as world:
        for server in world.servers:
            kind = server.kinds[0]
            for _ in range(rounds if kind == "ours" else 1):
                words = ["--port", server.ports["imaps"], "--mail-port", server.ports["mail"], "--sessions", SESSIONS, "--users", USERS,
                         "--messages", MESSAGES if kind == "ours" else PEER_MESSAGES, "--tail", server.user("", kind), "--password", PASSWORD, "--tls"]
                found = tool("imap_idle", *words, *(["--lmtp"] if "lmtp" in server.ports else []))
                print(f"  {kind}: {found}", flush=True)
                values.setdefault(kind, []).append(found["p99_ms"])
    peer = next((kind for kind in values if kind != "ours"), None)
    return [Row(f"delivery to IDLE notice, {SESSIONS} sessions, p99", "ms", values["ours"], values.get(peer), higher=False, limit=5)]
