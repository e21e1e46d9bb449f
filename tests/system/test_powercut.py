"""The power-cut model itself, on records made here: what must be lost is lost, what was synced is kept."""

import os
import struct

import powercut

ROOT, SUB, A, B = (1, 10), (1, 11), (1, 20), (1, 21)


class Recorder:
    """Writes a record as src/base/io_fault.c does, each call one tick long."""

    def __init__(self, path):
        self.path, self.now = str(path), 0
        with open(self.path + ".1", "wb") as file:
            file.write(powercut.HEAD)

    def add(self, kind, payload, begin=None):
        self.now += 10
        begin = self.now - 5 if begin is None else begin
        body = kind.encode() + struct.pack("<QQ", begin, self.now) + payload
        with open(self.path + ".1", "ab") as file:
            file.write(struct.pack("<I", len(body)) + body)
        return self.now

    def write(self, file, offset, data):
        return self.add("W", struct.pack("<QQQ", *file, offset) + data)

    def truncate(self, file, length):
        return self.add("T", struct.pack("<QQQ", *file, length))

    def sync(self, file, begin=None):
        return self.add("S", struct.pack("<QQ", *file) + b"here.c:1", begin)

    def sync_dir(self, folder):
        return self.add("D", struct.pack("<QQ", *folder) + b"here.c:2")

    def name(self, kind, folder, file, name):
        return self.add(kind, struct.pack("<QQQQ", *folder, *file) + name)

    def unlink(self, folder, name):
        return self.add("U", struct.pack("<QQ", *folder) + name)

    def rename(self, folder, name, to_folder, to_name, file):
        ids = struct.pack("<QQQQQQ", *folder, *to_folder, *file)
        return self.add("R", ids + struct.pack("<H", len(name)) + name + to_name)


def rebuilt(tmp_path, recorder, cut, seed=None, identities=None):
    """{path: bytes} of the image."""
    base = tmp_path / "base"
    base.mkdir(exist_ok=True)
    out = tmp_path / f"out-{cut}-{seed}-{recorder.now}"
    entries = powercut.read_record(recorder.path)
    powercut.image(entries, str(base), identities or {"": ROOT}, str(out), cut, seed)
    found = {}
    for path, folders, files in os.walk(out):
        for name in files:
            full = os.path.join(path, name)
            with open(full, "rb") as file:
                found[os.path.relpath(full, out)] = file.read()
        for name in folders:
            found[os.path.relpath(os.path.join(path, name), out) + "/"] = None
    return found


def test_name_needs_the_folder_and_bytes_need_the_file(tmp_path):
    r = Recorder(tmp_path / "rec")
    r.name("C", ROOT, A, b"a")
    written = r.write(A, 0, b"hello")
    synced = r.sync(A)
    named = r.sync_dir(ROOT)
    later = r.write(A, 5, b" world")
    assert rebuilt(tmp_path, r, written) == {}
    assert rebuilt(tmp_path, r, synced) == {}  # synced, but nobody can find it
    assert rebuilt(tmp_path, r, named - 1) == {}
    assert rebuilt(tmp_path, r, named) == {"a": b"hello"}
    assert rebuilt(tmp_path, r, later) == {"a": b"hello"}


def test_synced_folder_keeps_an_empty_file(tmp_path):
    r = Recorder(tmp_path / "rec")
    r.name("C", ROOT, A, b"a")
    r.write(A, 0, b"hello")
    assert rebuilt(tmp_path, r, r.sync_dir(ROOT)) == {"a": b""}


def test_rename_and_unlink(tmp_path):
    r = Recorder(tmp_path / "rec")
    r.name("C", ROOT, A, b"tmp")
    r.write(A, 0, b"x")
    r.sync(A)
    r.sync_dir(ROOT)
    renamed = r.rename(ROOT, b"tmp", ROOT, b"final", A)
    durable = r.sync_dir(ROOT)
    gone = r.unlink(ROOT, b"final")
    assert rebuilt(tmp_path, r, renamed) == {"tmp": b"x"}
    assert rebuilt(tmp_path, r, durable) == {"final": b"x"}
    assert rebuilt(tmp_path, r, gone) == {"final": b"x"}
    assert rebuilt(tmp_path, r, r.sync_dir(ROOT)) == {}


def test_rename_between_folders_needs_both(tmp_path):
    r = Recorder(tmp_path / "rec")
    r.name("M", ROOT, SUB, b"sub")
    r.name("C", ROOT, A, b"a")
    r.sync_dir(ROOT)
    r.rename(ROOT, b"a", SUB, b"b", A)
    first = r.sync_dir(SUB)
    both = r.sync_dir(ROOT)
    assert rebuilt(tmp_path, r, first) == {"a": b"", "sub/": None, "sub/b": b""}
    assert rebuilt(tmp_path, r, both) == {"sub/": None, "sub/b": b""}


def test_a_sync_covers_only_what_ended_before_it_began(tmp_path):
    r = Recorder(tmp_path / "rec")
    r.name("C", ROOT, A, b"a")
    r.sync_dir(ROOT)
    first = r.write(A, 0, b"1")
    r.write(A, 1, b"2")
    assert rebuilt(tmp_path, r, r.sync(A, begin=first)) == {"a": b"1"}


def test_truncate_and_reused_number(tmp_path):
    r = Recorder(tmp_path / "rec")
    r.name("C", ROOT, A, b"a")
    r.write(A, 0, b"abcdef")
    r.truncate(A, 2)
    r.write(A, 4, b"z")
    r.sync(A)
    r.unlink(ROOT, b"a")
    r.name("C", ROOT, A, b"b")  # another file with the number of the first
    assert rebuilt(tmp_path, r, r.sync_dir(ROOT)) == {"b": b""}


def test_baseline_is_durable(tmp_path):
    folder, base = tmp_path / "data", tmp_path / "base"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "old").write_bytes(b"old")
    os.link(folder / "sub" / "old", folder / "second")
    identities = powercut.snapshot(str(folder), str(base))
    r = Recorder(tmp_path / "rec")
    cut = r.write(identities["second"], 0, b"NEW")
    assert rebuilt(tmp_path, r, cut, identities=identities) == {"sub/": None, "sub/old": b"old", "second": b"old"}
    cut = r.sync(identities["sub/old"])
    assert rebuilt(tmp_path, r, cut, identities=identities) == {"sub/": None, "sub/old": b"NEW", "second": b"NEW"}


def test_random_survivors_are_seeded_and_stay_possible(tmp_path):
    r = Recorder(tmp_path / "rec")
    r.name("C", ROOT, A, b"a")
    r.write(A, 0, b"s" * 4096)
    r.sync(A)
    r.sync_dir(ROOT)
    r.name("C", ROOT, B, b"b")
    cut = r.write(A, 4096, b"u" * 4096)
    seen = set()
    for seed in range(40):
        found = rebuilt(tmp_path, r, cut, seed)
        again = powercut.read_record(r.path)
        out = tmp_path / f"again-{seed}"
        powercut.image(again, str(tmp_path / "base"), {"": ROOT}, str(out), cut, seed)
        assert (out / "a").read_bytes() == found["a"]
        assert found["a"][:4096] == b"s" * 4096
        assert set(found["a"][4096:]) <= {0, ord("u")}
        seen.add((len(found["a"]), "b" in found))
    assert len(seen) > 3


def test_cut_off_record_and_moments(tmp_path):
    r = Recorder(tmp_path / "rec")
    r.name("C", ROOT, A, b"a")
    r.sync(A)
    with open(r.path + ".1", "ab") as file:
        file.write(struct.pack("<I", 100) + b"W123")
    entries = powercut.read_record(r.path)
    assert [e.kind for e in entries] == ["C", "S"]
    assert powercut.moments(entries, 20, 7) == powercut.moments(entries, 20, 7)
    assert powercut.sites(entries) == ["here.c:1"]
