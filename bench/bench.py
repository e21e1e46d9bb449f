"""bench.py [NAME...] [--rounds N] [--messages N]: runs the benches and prints one table. Started by ./dev bench."""
import argparse
import importlib
import os

from common import show

NAMES = ("start", "memory", "logins", "inbound", "outbound", "door", "imap", "imap-load", "imap-idle", "imap-big")


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description="Rockdove beside Postfix and Dovecot, in one run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which: " + " ".join(NAMES))
    parser.add_argument("--rounds", type=int, default=5, help="how often the two alternate (5)")
    parser.add_argument("--messages", type=int, default=20000, help="queued messages of outbound (20000)")
    parser.add_argument("--sizes", default="1000,10000,100000", help="messages in the mailboxes of imap (1000,10000,100000)")
    parser.add_argument("--rows", default="", help="only these rows of imap, by the names in imap.py: fetch_envelope,cold_select,copy,...")
    parser.add_argument("--formats", default="sdbox,maildir", help="of Dovecot, for imap (sdbox,maildir)")
    options = parser.parse_args()
    rows = []
    for name in options.names or NAMES:
        if name not in NAMES:
            parser.error(f"no bench {name}")
        print(f"== {name}", flush=True)
        more = (options.messages,) if name == "outbound" else ()
        if name == "imap":
            more = ([int(size) for size in options.sizes.split(",")], options.rows.split(",") if options.rows else [],
                    options.formats.split(","))
        rows += importlib.import_module(name.replace("-", "_")).run(options.rounds, *more)
    print(f"\n{os.cpu_count()} cores; medians of {options.rounds} alternating rounds; the peer is Debian's Postfix 3.7, "
          "inbound with LMTP to Dovecot 2.3 Maildir")
    show(rows)
    return 1 if any(row.met is False for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
