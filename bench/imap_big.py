"""What must not grow with the mailbox: SELECT of a million messages, cold, and the memory of its view; STATUS of 1,000
folders. Rockdove alone."""
import time

from common import Row, pss
from imap import Client, World
from imap_servers import Rockdove, forget_pages

FIRST = 1000      # messages appended; the rest are copies of them
DOUBLINGS = 10    # 1,024,000 in the end
FOLDERS = 1000
STILL = 5         # seconds in which the memory changes by less than a megabyte
STILL_MAX = 60


def settled(server):
    """The memory once it stands still: when an index is opened, what its full-text index lacks is made first."""
    found = []
    while len(found) < STILL_MAX:
        time.sleep(1)
        found.append(pss(server.pid()) / 1e6)
        if len(found) >= STILL and max(found[-STILL:]) - min(found[-STILL:]) < 1:
            break
    return found[-1]


def run(rounds):
    rows = {"select": [], "memory": [], "warm": [], "status": [], "flags": []}
    with World(["big"], kinds=(Rockdove,)) as world:
        server = world.servers[0]
        user = server.user("big", "ours")
        with Client(server.ports["imap"], user) as client:
            client.do(f"append {FIRST} 0 40 INBOX")
            for _ in range(DOUBLINGS):
                client.run("SELECT INBOX")
                client.run("COPY 1:* INBOX")
            for number in range(FOLDERS):
                client.run(f"CREATE folders/f{number:04}")
                client.do(f"append 1 {number} 1 folders/f{number:04}")
        for _ in range(rounds):
            server.stop()
            forget_pages(server.folder)
            server.start()
            with Client(server.ports["imap"]) as client:
                client.user = user
                client.login()
                before = settled(server)
                rows["select"].append(client.run("SELECT INBOX"))
                rows["flags"].append(client.run("FETCH 1:* FLAGS"))  # pages nobody has looked at do not count
                rows["memory"].append(settled(server) - before)
                client.run("UNSELECT")
                rows["warm"].append(client.run("SELECT INBOX"))
                client.run('LIST "" folders/* RETURN (STATUS (MESSAGES UNSEEN UIDNEXT))')
                rows["status"].append(client.run('LIST "" folders/* RETURN (STATUS (MESSAGES UNSEEN UIDNEXT))'))
    return [Row(f"SELECT of {FIRST << DOUBLINGS} messages, cold", "ms", rows["select"], None, limit=50),
            Row("  memory of its view", "MB", rows["memory"], None, limit=40),
            Row("  SELECT of them again", "ms", rows["warm"], None),
            Row("  FETCH 1:* FLAGS of them", "ms", rows["flags"], None),
            Row(f"STATUS of {FOLDERS} folders", "ms", rows["status"], None, limit=20)]
