#!/usr/bin/env python3
"""Restores a dataset from a store of mlp without mlp: an independent reader of `mlpstore` format 1.

    read_store.py STORE POINTER|ID OUT

STORE is a local store (`.git/mlp/store`) or a remote's folder, POINTER a file like `data/mnist.mlp`, ID `b3:` and 64 hex
digits; OUT must not exist. Every digest is verified before what it covers is used. docs/concepts/store.md explains it all.
"""
import json, os, pathlib, re, struct, sys  # noqa: E401

import blake3, zstandard  # noqa: E401

(BLOB, CHUNK, TREE, RECIPE), (FILE, EXECUTABLE, LINK, DIRECTORY) = range(4), range(4)
KINDS = dict(file=FILE, executable=EXECUTABLE, link=LINK, dir=DIRECTORY, tree=DIRECTORY)
OBJECTS = {BLOB: (None, 1 << 20), CHUNK: ("chunk", 4 << 20), TREE: ("tree", 1 << 20), RECIPE: ("recipe", 48 << 20)}


def digest(domain, data):
    """BLAKE3 of the bytes: plain for files, else with the derive-key context of the domain."""
    return blake3.blake3(data, **({"derive_key_context": f"mlp store 1 {domain}"} if domain else {})).digest()


def check(condition, complaint):
    if not condition:
        raise SystemExit(f"damaged: {complaint}")


def varint(data, at):
    low, rest = data[at] & 127, data[at] > 127
    more, at = varint(data, at + 1) if rest else (0, at + 1)
    return low | more << 7, at


def ungroup(data, width):
    """Undoes the grouping of bytes: all at positions 0 modulo `width` come first, then those at 1, and so on."""
    out = bytearray(len(data))
    for lane in range(width):
        out[lane::width], data = data[: (count := len(out[lane::width]))], data[count:]
    return bytes(out)


class Store:
    def __init__(self, folder):
        self.folder, self.places, self.packs = pathlib.Path(folder), {}, {}
        for path in sorted((self.folder / "index").iterdir()):
            if re.fullmatch("([0-9a-z]{26}-)?[0-9a-f]{64}", path.name):
                data = path.read_bytes()
                right = data[-32:] == digest("index", data[:-32]) and path.name.endswith(data[-32:].hex())
                check(data[:5] == b"MLPI1" and right, f"index {path}")
                start = 9 + 32 * struct.unpack_from("<I", data, 5)[0]
                packs = [data[at : at + 32] for at in range(9, start, 32)]
                for id, offset, stored, length, pack, kind, codec in struct.iter_unpack("<32s3IH2B", data[start + 1028 : -32]):
                    self.places[id] = packs[pack], (kind, codec, offset, stored, length)

    def pack(self, name):
        """The open file of a pack, and what its header lists: {id: (kind, codec, offset, stored, length)}."""
        if name not in self.packs:
            path, offset, entries = self.folder / "packs" / name.hex()[:2] / name.hex(), 5, {}
            data = path.read_bytes()
            start = len(data) - 36 - struct.unpack_from("<I", data, len(data) - 36)[0]
            right = data[-32:] == digest("pack header", data[start:-36]) and digest("pack", data) == name
            check(data[:5] == b"MLPK1" and right, f"pack {path}")
            for kind, codec, stored, length, id in struct.iter_unpack("<2B2I32s", data[start:-36]):
                entries[id] = kind, codec, offset, stored, length
                offset += stored
            check(offset == start, f"lengths in {path}")
            self.packs[name] = os.open(path, os.O_RDONLY), entries
        return self.packs[name]

    def object(self, id):
        """Kind and decoded bytes of an object, verified by its id."""
        check(id in self.places, f"no index lists {id.hex()}")
        name, entry = self.places[id]
        file, entries = self.pack(name)
        check(entries.get(id) == entry, f"index and header of pack {name.hex()} differ about {id.hex()}")
        kind, codec, offset, stored, length = entry
        domain, longest = OBJECTS[kind]
        check(length <= longest and codec < 5, f"{id.hex()} makes no sense")
        data = os.pread(file, stored, offset)
        if codec > 0:
            data = zstandard.ZstdDecompressor().decompress(data, max_output_size=length)
        if codec > 1:
            data = ungroup(data, {2: 2, 3: 4, 4: 8}[codec])
        # A recipe is found by the id of its file, which stands in it; its own digest is at its end.
        right = data[-64:] == id + digest(domain, data[:-32]) if kind == RECIPE else id == digest(domain, data)
        check(right and len(data) == length, f"object {id.hex()} in pack {name.hex()}")
        return kind, data

    def entries(self, id):
        """Name, kind, size and id of all in a directory; the ranges of a large one are joined."""
        kind, data = self.object(id)
        check(kind == TREE, f"{id.hex()} is not a tree")
        name, (count, at) = b"", varint(data, 1)
        for _ in range(count):
            kind, (shared, at) = data[at], varint(data, at + 1)
            further, at = varint(data, at)
            name, (size, at) = name[:shared] + data[at : at + further], varint(data, at + further)
            child, at = data[at : at + 32], at + 32
            yield from self.entries(child) if data[0] else [(os.fsdecode(name), kind, size, child)]

    def parts(self, id):
        """The bytes of a file, piece by piece."""
        kind, data = self.object(id)
        check(kind in (BLOB, RECIPE), f"{id.hex()} is not a file")
        if kind == BLOB:
            return (yield data)
        count, at = varint(data, 1)
        for _ in range(count):
            kind, chunk = self.object(data[at : at + 32])
            length, at = varint(data, at + 32)
            check(kind == CHUNK and len(chunk) == length, "a recipe does not fit its chunks")
            yield chunk

    def restore(self, folder, name, kind, size, id):
        check(not re.search(r"^\.{0,2}$|[/\0]", name), f"name {name!r}")
        out = folder / name
        if kind == DIRECTORY:
            out.mkdir()
            for entry in self.entries(id):
                self.restore(out, *entry)
        elif kind == LINK:
            out.symlink_to(os.fsdecode(b"".join(self.parts(id))))
        else:
            whole = blake3.blake3()
            with open(out, "xb") as file:
                for part in self.parts(id):
                    whole.update(part)
                    file.write(part)
                check(whole.digest() == id and size in (None, file.tell()), f"file {out}")
                os.fchmod(file.fileno(), os.fstat(file.fileno()).st_mode | (0o111 if kind == EXECUTABLE else 0))


def main(store, what, out):
    store, out, end = Store(store), pathlib.Path(out), r"\n *id: b3:(\w{64})\n *size: (\d+)$"
    if what.startswith("b3:"):
        id = bytes.fromhex(what[3:])
        return store.restore(out.parent, out.name, DIRECTORY if store.object(id)[0] == TREE else FILE, None, id)
    text = pathlib.Path(what).read_text("utf-8")
    for kind, executable, id, size in re.findall("^kind: (tree|file)(\nexecutable: true)?" + end, text, re.M):
        kind = KINDS["executable" if executable else kind]
        return store.restore(out.parent, out.name, kind, int(size), bytes.fromhex(id))
    out.mkdir()
    for kind, name, id, size in re.findall("^- (dir|file|executable|link): (.+)" + end, text, re.M):
        name = json.loads(name) if name[0] == '"' else name
        store.restore(out, name.removesuffix("/"), KINDS[kind], int(size), bytes.fromhex(id))


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) == 4 else sys.exit(__doc__)
