"""What a power cut leaves of a folder, rebuilt from the record of a test build's file calls.

Killing a process loses nothing of the page cache, so it says nothing about fsync. A build with -Dio_faults=true records
every write, truncation, creation, link, rename, removal and sync (src/base/io_fault.c has the format). From this record
and a copy of the folder from before, `image()` makes the folder as it may look after the power went at some moment:

  * bytes of a file survive up to the last fsync of that file that had returned; a write that ended after that fsync had
    begun is not covered by it;
  * names (new, linked, renamed, removed) survive up to the last fsync of their folder; syncing the file is no help;
  * "pessimistic": nothing else survives. "random": of the rest, any part does: each write, truncation and name on its own,
    writes torn at 512 bytes. Both are things real disks and file systems do.

Times are nanoseconds of CLOCK_MONOTONIC (time.monotonic_ns()), so what a client was promised can be compared with the
moment of the cut.
"""

import argparse
import glob
import os
import random
import shutil
import stat
import struct
import sys

HEAD = b"rockdove-io 1\n"
SECTOR = 512


class Entry:
    """One recorded call: kind, begin, end, and the fields of its kind."""

    __slots__ = ("kind", "begin", "end", "file", "offset", "data", "name", "folder", "to_folder", "to_name", "site")

    def __init__(self, kind, begin, end):
        self.kind, self.begin, self.end = kind, begin, end
        self.file = self.folder = self.to_folder = None
        self.offset, self.data = 0, b""
        self.name = self.to_name = self.site = ""


def _entry(body):
    kind, begin, end = chr(body[0]), *struct.unpack_from("<QQ", body, 1)
    entry, at = Entry(kind, begin, end), 17

    def pair():
        nonlocal at
        value = struct.unpack_from("<QQ", body, at)
        at += 16
        return value

    if kind in "WTSD":
        entry.file = pair()
        if kind in "WT":
            entry.offset = struct.unpack_from("<Q", body, at)[0]
            entry.data = body[at + 8:]
        else:
            entry.site = body[at:].decode()
    elif kind in "CLM":
        entry.folder, entry.file = pair(), pair()
        entry.name = os.fsdecode(body[at:])
    elif kind == "U":
        entry.folder = pair()
        entry.name = os.fsdecode(body[at:])
    elif kind == "R":
        entry.folder, entry.to_folder, entry.file = pair(), pair(), pair()
        length = struct.unpack_from("<H", body, at)[0]
        entry.name = os.fsdecode(body[at + 2:at + 2 + length])
        entry.to_name = os.fsdecode(body[at + 2 + length:])
    else:
        raise ValueError(f"unknown entry {kind!r}")
    return entry


def read_record(prefix):
    """All entries of all processes (PREFIX.PID), in the order in which the calls ended. A last entry that is cut off (the
    process was killed while it appended) is left out."""
    entries = []
    for path in sorted(glob.glob(glob.escape(prefix) + ".*")):
        with open(path, "rb") as file:
            data = file.read()
        if not data.startswith(HEAD):
            raise ValueError(f"{path} is no record")
        at = len(HEAD)
        while at + 4 <= len(data):
            length = struct.unpack_from("<I", data, at)[0]
            if at + 4 + length > len(data):
                break
            entries.append(_entry(data[at + 4:at + 4 + length]))
            at += 4 + length
    entries.sort(key=lambda e: e.end)
    return entries


class _File:
    """A file's bytes: what is durable, and the calls since."""

    def __init__(self, data=b""):
        self.durable, self.pending = bytearray(data), []

    def sync(self, begin):
        keep = []
        for entry in self.pending:
            if entry.end <= begin:
                self.apply(self.durable, entry)
            else:
                keep.append(entry)
        self.pending = keep

    @staticmethod
    def apply(data, entry):
        if entry.kind == "T":
            if entry.offset <= len(data):
                del data[entry.offset:]
            else:
                data.extend(bytes(entry.offset - len(data)))
            return
        end = entry.offset + len(entry.data)
        if end > len(data):
            data.extend(bytes(end - len(data)))
        data[entry.offset:end] = entry.data

    def survivors(self, rng):
        data = bytearray(self.durable)
        for entry in self.pending if rng else ():
            fate = rng.random()
            if fate < 0.4:
                continue
            if fate < 0.6 and entry.kind == "W" and len(entry.data) > SECTOR:
                torn = Entry("W", 0, 0)
                start = rng.randrange(0, len(entry.data), SECTOR)
                torn.offset, torn.data = entry.offset + start, entry.data[start:start + SECTOR * rng.randrange(1, 9)]
                entry = torn
            self.apply(data, entry)
        return bytes(data)


class _Folder:
    """A folder's names, durable, and the changes since: (end, name, node or None)."""

    def __init__(self):
        self.durable, self.pending = {}, []

    def sync(self, begin):
        keep = []
        for change in self.pending:
            if change[0] <= begin:
                self.apply(self.durable, change)
            else:
                keep.append(change)
        self.pending = keep

    @staticmethod
    def apply(names, change):
        for name, node in change[1]:
            if node is None:
                names.pop(name, None)
            else:
                names[name] = node

    def survivors(self, rng):
        names = dict(self.durable)
        for change in self.pending if rng else ():
            if rng.random() < 0.5:
                self.apply(names, change)
        return names


class Disk:
    """The folder as the disk knows it while the calls are played."""

    def __init__(self, baseline, identities):
        self.nodes = {}
        self.root = self._load(baseline, "", identities)

    def _load(self, baseline, path, identities):
        full = os.path.join(baseline, path) if path else baseline
        if os.path.isdir(full):
            node = _Folder()
            for name in sorted(os.listdir(full)):
                child = os.path.join(path, name)
                if child in identities:
                    node.durable[name] = self._load(baseline, child, identities)
        else:
            with open(full, "rb") as file:
                node = _File(file.read())
        known = self.nodes.setdefault(identities[path], node)  # a second name of one file
        return known if isinstance(known, _File) else node

    def play(self, entry):
        handler = getattr(self, "_on_" + entry.kind)
        handler(entry)

    def _bytes(self, entry):
        node = self.nodes.get(entry.file)
        if isinstance(node, _File):
            node.pending.append(entry)

    _on_W = _on_T = _bytes

    def _on_S(self, entry):
        node = self.nodes.get(entry.file)
        if node is not None:
            node.sync(entry.begin)

    _on_D = _on_S

    def _names(self, folder, end, changes):
        node = self.nodes.get(folder)
        if isinstance(node, _Folder):
            node.pending.append((end, changes))

    def _on_C(self, entry):
        self.nodes[entry.file] = _File()  # the number of a removed file may be used again
        self._names(entry.folder, entry.end, [(entry.name, self.nodes[entry.file])])

    def _on_M(self, entry):
        self.nodes[entry.file] = _Folder()
        self._names(entry.folder, entry.end, [(entry.name, self.nodes[entry.file])])

    def _on_L(self, entry):
        if entry.file in self.nodes:
            self._names(entry.folder, entry.end, [(entry.name, self.nodes[entry.file])])

    def _on_U(self, entry):
        self._names(entry.folder, entry.end, [(entry.name, None)])

    def _on_R(self, entry):
        node = self.nodes.get(entry.file)
        gone, new = [(entry.name, None)], [(entry.to_name, node)] if node is not None else []
        if entry.folder == entry.to_folder:
            self._names(entry.folder, entry.end, gone + new)  # one change: both or neither
        else:
            self._names(entry.folder, entry.end, gone)
            self._names(entry.to_folder, entry.end, new)

    def write(self, out, rng):
        self._write(self.root, out, rng, set())

    def _write(self, node, out, rng, above):
        if isinstance(node, _File):
            with open(out, "wb") as file:
                file.write(node.survivors(rng))
            return
        os.makedirs(out, exist_ok=True)
        for name, child in sorted(node.survivors(rng).items()):
            if child not in above:  # a folder moved below itself by half a rename
                self._write(child, os.path.join(out, name), rng, above | {node})


def snapshot(folder, baseline):
    """Copies the folder before the recorded processes start (what is in it counts as durable). Returns the identities that
    image() needs: path inside the folder -> (device, inode)."""
    identities = {}
    os.makedirs(baseline, exist_ok=True)
    for path, folders, files in os.walk(folder):
        inside = os.path.relpath(path, folder)
        inside = "" if inside == "." else inside
        status = os.lstat(path)
        identities[inside] = (status.st_dev, status.st_ino)
        for name in folders:
            os.makedirs(os.path.join(baseline, inside, name), exist_ok=True)
        for name in files:
            source = os.path.join(path, name)
            status = os.lstat(source)
            if stat.S_ISREG(status.st_mode):
                identities[os.path.join(inside, name)] = (status.st_dev, status.st_ino)
                shutil.copy2(source, os.path.join(baseline, inside, name))
    return identities


def image(entries, baseline, identities, out, cut_ns, seed=None):
    """Makes folder `out` (must not exist) as a power cut at `cut_ns` may leave it: pessimistic without a seed, otherwise a
    random survivor among the possible ones."""
    if os.path.lexists(out):
        raise FileExistsError(out)
    disk = Disk(baseline, identities)
    for entry in entries:
        if entry.end > cut_ns:
            break
        disk.play(entry)
    disk.write(out, random.Random(seed) if seed is not None else None)


def moments(entries, count, seed):
    """`count` moments worth cutting at, seedable: just after, just before and between recorded calls, syncs more often."""
    rng = random.Random(seed)
    syncs = [e for e in entries if e.kind in "SD"] or entries
    chosen = []
    for _ in range(count if entries else 0):
        entry = rng.choice(syncs if rng.random() < 0.5 else entries)
        chosen.append(rng.choice([entry.begin - 1, entry.begin, entry.end - 1, entry.end, entry.end + 1]))
    return sorted(chosen)


def sites(entries):
    """Every place in the source that synced something: for leaving them out one by one
    (ROCKDOVE_IO_FAULT=fsync:skip:site=PLACE)."""
    return sorted({e.site for e in entries if e.kind in "SD"})


def main():
    parser = argparse.ArgumentParser(description="print a record, or what it syncs")
    parser.add_argument("record", help="the value of ROCKDOVE_IO_RECORD")
    parser.add_argument("--sites", action="store_true", help="only the places that sync")
    options = parser.parse_args()
    entries = read_record(options.record)
    if options.sites:
        print("\n".join(sites(entries)))
        return 0
    for e in entries:
        detail = e.site or " ".join(filter(None, [e.name, e.to_name]))
        print(e.begin, e.end, e.kind, e.file, e.offset, len(e.data), detail)
    return 0


if __name__ == "__main__":
    sys.exit(main())
