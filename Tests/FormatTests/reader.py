#!/usr/bin/env python3
"""Reads a pgark repository without pgark.

    reader.py list    REPO CLUSTER
    reader.py verify  REPO CLUSTER BACKUP
    reader.py restore REPO CLUSTER BACKUP DIR [--tablespace OID=DIR]... [--restore-command CMD] [--consistent]

It was written from docs/repository-format.md alone and shares no code with pgark: what it restores, anybody can restore.
It needs Python 3.9 and the program zstd. Where something is damaged it prints a line for each thing and exits with 1.
"""
import argparse
import functools
import hashlib
import json
import os
import re
import shlex
import struct
import subprocess
import sys
from collections import defaultdict, namedtuple
from pathlib import Path


class Damage(Exception):
    """Something in the repository is not as the specification has it."""


def require(condition, message):
    if not condition:
        raise Damage(message)


BLOCK = 8192  # bytes

# CRC-32C. Eight bytes are taken as four 16-bit words, each with a table of its own.

POLYNOMIAL = 0x82F63B78
BYTE = list(range(256))
for _ in range(8):
    BYTE = [crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0) for crc in BYTE]


def after_byte(crc, byte=0):
    return crc >> 8 ^ BYTE[(crc ^ byte) & 0xFF]


def after_two_zeros(crcs):
    return [after_byte(after_byte(crc)) for crc in crcs]


FOURTH = after_two_zeros(range(65536))
THIRD = after_two_zeros(FOURTH)
SECOND = after_two_zeros(THIRD)
FIRST = after_two_zeros(SECOND)


def crc32c(data):
    data, crc = memoryview(data), 0xFFFFFFFF
    whole = len(data) & ~7
    for first, second, third, fourth in struct.iter_unpack("<HHHH", data[:whole]):
        crc = FIRST[first ^ crc & 0xFFFF] ^ SECOND[second ^ crc >> 16] ^ THIRD[third] ^ FOURTH[fourth]
    for byte in data[whole:]:
        crc = after_byte(crc, byte)
    return crc ^ 0xFFFFFFFF


def block_crcs(content):
    """The CRCs of all blocks of a frame, byte by byte but for all of them at once: `state` is a number that has the lowest
    byte of every block's CRC in its lowest bytes, the next ones above, and so on."""
    count = len(content) // BLOCK
    state, lowest = (1 << 32 * count) - 1, (1 << 8 * count) - 1
    for position in range(BLOCK):
        column = int.from_bytes(content[position::BLOCK], "little")
        index = (state & lowest ^ column).to_bytes(count, "little")
        state = state >> 8 * count ^ int.from_bytes(b"".join(index.translate(table) for table in BYTES_OF_BYTE), "little")
    crcs = state.to_bytes(4 * count, "little")
    return [int.from_bytes(crcs[block::count], "little") ^ 0xFFFFFFFF for block in range(count)]


BYTES_OF_BYTE = [bytes(crc >> shift & 0xFF for crc in BYTE) for shift in (0, 8, 16, 24)]


def multiply(a, b):
    """The product of two polynomials modulo CRC-32C's; the top bit is the coefficient of 1."""
    product = 0
    while a:
        if a & 0x80000000:
            product ^= b
        a, b = a << 1 & 0xFFFFFFFF, b >> 1 ^ (POLYNOMIAL if b & 1 else 0)
    return product


@functools.lru_cache(maxsize=None)
def power(length):
    """x to the power of the number of bits in `length` bytes."""
    if length == 0:
        return 0x80000000
    half = power(length // 2)
    return multiply(multiply(half, half), 0x00800000 if length % 2 else 0x80000000)


def joined_crc(parts):
    """The CRC of a whole from the CRCs and lengths of its consecutive parts, which may have been read in any order."""
    crc = 0
    for part, length in parts:
        crc = multiply(power(length), crc) ^ part
    return crc


assert crc32c(b"123456789") == joined_crc([(crc32c(b"1234"), 4), (crc32c(b"56789"), 5)]) == 0xE3069283


# Files of their own.

def decompress(data, what):
    """The content of one or several zstd frames, one after the other; zstd checks their content checksums."""
    done = subprocess.run(["zstd", "-dqc"], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    require(done.returncode == 0, f"{what}: zstd: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def read_document(path):
    """A JSON document of the format that we know."""
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise Damage(f"{path}: {error}") from error
    require(document.get("format") == 1, f"{path}: format {document.get('format')} is not known, only 1 is")
    return document


def read_record(path):
    """A document that has the CRC of its own text as a field, where that field's digits count as zeros."""
    document, text = read_document(path), path.read_bytes()
    seals = list(re.finditer(rb'"record_crc32c"\s*:\s*"([0-9a-f]{8})"', text))
    require(len(seals) == 1, f"{path}: it has no record_crc32c, or several")
    begin, end = seals[0].span(1)
    crc = crc32c(text[:begin] + b"00000000" + text[end:])
    require(crc == int(seals[0][1], 16), f"{path}: its CRC is {crc:08x}, not {document['record_crc32c']}")
    return document


def read_described(path, content):
    """The bytes of a file that backup.json describes by {"bytes": n, "crc32c": hex}."""
    data = path.read_bytes()
    crc = crc32c(data)
    require(len(data) == content["bytes"], f"{path}: {len(data)} bytes, not {content['bytes']}")
    require(crc == int(content["crc32c"], 16), f"{path}: its CRC is {crc:08x}, not {content['crc32c']}")
    return data


def parse_lsn(text):
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


# The map: the data directory as the server sent it.

Extent = namedtuple("Extent", "blocks pack frame block")
Entry = namedtuple("Entry", "kind path mode modified target size checksum extents", defaults=(None, 0, 0, ()))


class MapReader:
    def __init__(self, data):
        self.data, self.position = data, 0

    def take(self, count):
        taken = self.data[self.position:self.position + count]
        require(len(taken) == count, "map: ends too early")
        self.position += count
        return taken

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def text(self):
        return os.fsdecode(self.take(self.varint()))

    def checksum(self):
        return int.from_bytes(self.take(4), "little")

    def entries(self):
        require(self.take(9) == b"PGARKMAP\x01", f"map: begins with {self.data[:9]}, not with PGARKMAP and version 1")
        entries = []
        while (kind := self.take(1)) != b"E":
            entries.append(self.entry(kind.decode("latin-1")))
        require(self.varint() == len(entries), f"map: does not have {len(entries)} entries")
        require(crc32c(self.data[:self.position]) == self.checksum(), "map: its CRC is wrong")
        require(self.position == len(self.data), "map: goes on after its end")
        require(len({entry.path for entry in entries}) == len(entries), "map: two entries have the same path")
        return entries

    def entry(self, kind):
        require(kind in "DLF", f"map: an entry of kind {kind!r} before byte {self.position}")
        path, mode, modified = self.text(), self.varint(), self.varint()
        require(not path.startswith("/") and ".." not in path.split("/"), f"map: {path}: leads outside")
        if kind != "F":
            return Entry(kind, path, mode, modified, self.text() if kind == "L" else None)
        size, checksum, count = self.varint(), self.checksum(), self.varint()
        extents = [Extent(*(self.varint() for _ in Extent._fields)) for _ in range(count)]
        blocks = sum(extent.blocks for extent in extents)
        require(blocks == (size + BLOCK - 1) // BLOCK, f"map: {path}: its extents have {blocks} blocks, its size is {size}")
        return Entry(kind, path, mode, modified, None, size, checksum, extents)


# Packs.

Frame = namedtuple("Frame", "number offset payload_length content_length")  # as in the index


class Pack:
    INDEX_ENTRY = struct.Struct("<IQII")
    TRAILER = struct.Struct("<8sQII")
    HEADER = struct.Struct("<4sIIIIB3xII")
    SUM = struct.Struct("<I8s")  # CRC and XXH3 of a block
    BATCH = 32 * 1024 * 1024  # bytes of content that one run of zstd makes

    def __init__(self, path):
        self.name = f"pack {path.stem}"
        self.file = open(path, "rb")
        self.size = os.fstat(self.file.fileno()).st_size
        require(self.read(0, 16) == struct.pack("<8sII", b"PGARKPCK", 1, 0), f"{self.name}: its first 16 bytes are wrong")

    def read(self, offset, length):
        self.file.seek(offset)
        data = self.file.read(length)
        require(len(data) == length, f"{self.name}: has no {length} bytes at {offset}")
        return data

    def frames(self):
        """The frames according to the index, or made anew where that is damaged."""
        try:
            return self.index()[0]
        except Damage as damage:
            print(f"{damage}; reading the pack without it", file=sys.stderr)
            return self.walk()[0]

    def index(self):
        """The frames according to the index, and where they end."""
        end = max(0, self.size - self.TRAILER.size)
        magic, offset, count, crc = self.TRAILER.unpack(self.read(end, self.TRAILER.size))
        length = count * self.INDEX_ENTRY.size
        require(magic == b"PGARKIDX" and offset + length == end, f"{self.name}: its trailer is damaged")
        index = self.read(offset, length)
        require(crc32c(index) == crc, f"{self.name}: its index is damaged")
        return [Frame(*fields) for fields in self.INDEX_ENTRY.iter_unpack(index)], offset

    def walk(self):
        """The frames one after the other, without the index, and where they end."""
        frames, offset = [], 16
        while offset + self.HEADER.size <= self.size and self.read(offset, 4) == b"PGFR":
            frames.append(self.header(offset, f"{self.name}: frame at byte {offset}")[0])
            offset = self.sums_offset(frames[-1]) + frames[-1].content_length // BLOCK * self.SUM.size
        require(len({frame.number for frame in frames}) == len(frames), f"{self.name}: two frames have the same number")
        return frames, offset

    def header(self, offset, what):
        """What a header says: the frame, the CRC of its payload, its codec, the CRC of its sums."""
        header = self.read(offset, self.HEADER.size)
        magic, number, payload, content, crc, codec, sums_crc, own_crc = self.HEADER.unpack(header)
        require(magic == b"PGFR" and crc32c(header[:28]) == own_crc, f"{what}: its header is damaged")
        makes_sense = content % BLOCK == 0 and content <= 524288 and codec <= 1 and number < 2048
        require(makes_sense, f"{what}: its header makes no sense")
        return Frame(number, offset, payload, content), crc, codec, sums_crc

    def payload(self, frame):
        what = f"{self.name}: frame {frame.number}"
        found, crc, codec, _ = self.header(frame.offset, what)
        require(found == frame, f"{what}: its header and the index differ")
        payload = self.read(frame.offset + self.HEADER.size, frame.payload_length)
        require(crc32c(payload) == crc, f"{what}: its payload is damaged")
        require(codec == 1 or len(payload) == frame.content_length, f"{what}: its payload has a wrong length")
        return codec, payload

    def sums_offset(self, frame):
        return frame.offset + self.HEADER.size + frame.payload_length

    def sums(self, frame):
        """The CRC and the XXH3 of each block. A restore does without them."""
        sums_crc = self.header(frame.offset, f"{self.name}: frame {frame.number}")[3]
        sums = self.read(self.sums_offset(frame), frame.content_length // BLOCK * self.SUM.size)
        require(crc32c(sums) == sums_crc, f"{self.name}: frame {frame.number}: its sums are damaged")
        return list(self.SUM.iter_unpack(sums))

    def contents(self, wanted, problems):
        """Pairs of frame and content, for the frames of which `wanted` has the number: the others are there for other
        backups. Damaged frames are left out; `problems` says which."""
        batch, size = [], 0
        for frame in self.frames():
            if frame.number not in wanted:
                continue
            try:
                codec, payload = self.payload(frame)
            except Damage as damage:
                problems.append(damage)
                continue
            if codec == 0:
                yield frame, payload
                continue
            batch.append((frame, payload))
            size += frame.content_length
            if size >= self.BATCH:
                yield from self.decompressed(batch, problems)
                batch, size = [], 0
        if batch:
            yield from self.decompressed(batch, problems)

    def decompressed(self, batch, problems):
        """One run of zstd for many frames, and where that fails one for each, to know which is to blame."""
        what = f"{self.name}: frame {batch[0][0].number}"
        try:
            content = decompress(b"".join(payload for _, payload in batch), what)
            expected = sum(frame.content_length for frame, _ in batch)
            require(len(content) == expected, f"{what}: its content has {len(content)} bytes, not {expected}")
        except Damage as damage:
            if len(batch) == 1:
                return problems.append(damage)
            for one in batch:
                yield from self.decompressed([one], problems)
            return
        offset = 0
        for frame, _ in batch:
            yield frame, content[offset:offset + frame.content_length]
            offset += frame.content_length


class Backup:
    def __init__(self, cluster, identifier):
        self.cluster, self.id, self.folder = cluster, identifier, cluster / "backups" / identifier
        self.document = read_record(self.folder / "backup.json")

    def map(self):
        stored = read_described(self.folder / "map.zst", self.document["map"])
        return MapReader(decompress(stored, self.folder / "map.zst")).entries()

    def configuration(self):
        """Pairs of description and content of the files that lay outside the data directory."""
        saved = self.document.get("configuration", [])
        return [(file, read_described(self.folder / "config" / file["name"], file["content"])) for file in saved]

    def packs(self):
        """One after the other, each open while the caller looks at it."""
        names = read_described(self.folder / "packs", self.document["packs"]).decode().split("\n")
        require(names.pop() == "", f"{self.folder}/packs: does not end with a line feed")
        for name in names:
            pack = Pack(self.cluster / "packs" / f"{name}.pack")
            with pack.file:
                yield pack

    def read_files(self, files, problems, write=lambda file, position, data: None, check=lambda pack, frame, crcs: None):
        """Reads each frame that is needed once, whichever files it is part of, gives `write` the parts of the files as
        they come, and `check` the CRCs of each frame's blocks, and compares the files with their checksums."""
        wanted = defaultdict(lambda: defaultdict(list))  # by pack and frame: extents with their files and places there
        parts = [[None] * sum(extent.blocks for extent in file.extents) for file in files]  # CRCs of the blocks
        for index, file in enumerate(files):
            first = 0
            for extent in file.extents:
                wanted[extent.pack][extent.frame].append((index, first, extent))
                first += extent.blocks
        for pack_number, pack in enumerate(self.packs()):
            for frame, content in pack.contents(wanted[pack_number], problems):
                view = memoryview(content)
                crcs = block_crcs(content)
                check(pack, frame, crcs)
                for index, first, extent in wanted[pack_number][frame.number]:
                    end = extent.block + extent.blocks
                    if end > len(crcs):
                        continue
                    left = files[index].size - first * BLOCK
                    data = view[extent.block * BLOCK:end * BLOCK]
                    if left < len(data):
                        crcs_here = crcs[extent.block:end - 1] + [crc32c(data[(extent.blocks - 1) * BLOCK:left])]
                        if any(data[left:]):
                            problems.append(f"file {files[index].path}: its last block does not end with zeros")
                    else:
                        crcs_here = crcs[extent.block:end]
                    parts[index][first:first + extent.blocks] = crcs_here
                    write(files[index], first * BLOCK, data[:left])
        for file, known in zip(files, parts):
            if None in known:
                missing = self.frames_of(file, known)
                problems.append(f"file {file.path}: cannot be had without frame {', '.join(missing)}")
                continue
            lengths = [BLOCK] * (len(known) - 1) + [(file.size - 1) % BLOCK + 1] * (len(known) > 0)
            if joined_crc(zip(known, lengths)) != file.checksum:
                problems.append(f"file {file.path}: its CRC is wrong")

    @staticmethod
    def frames_of(file, crcs):
        """Names of the frames of which blocks are missing."""
        names, first = [], 0
        for extent in file.extents:
            name = f"{extent.frame} of pack {extent.pack}"
            if None in crcs[first:first + extent.blocks] and name not in names:
                names.append(name)
            first += extent.blocks
        return names

    def check_manifest(self):
        """What the server says that it sent is what the map has; for changes only the name can be compared."""
        path = self.folder / "manifest.zst"
        text = decompress(read_described(path, self.document["manifest"]), path)
        last = text.index(b'"Manifest-Checksum"')
        manifest = json.loads(text)
        require(hashlib.sha256(text[:last]).hexdigest() == manifest["Manifest-Checksum"], f"{path}: its SHA-256 is wrong")
        files = {entry.path: entry for entry in self.map() if entry.kind == "F"}
        for listed in manifest["Files"]:
            folder, name = os.path.split(listed["Path"])
            changes = name.startswith("INCREMENTAL.")
            file = files.pop(os.path.join(folder, name.removeprefix("INCREMENTAL.")), None)
            require(file, f"{path}: the map does not have {listed['Path']}")
            if changes or file.path == "backup_label":
                continue
            checksum = file.checksum.to_bytes(4, "little").hex()
            require((listed["Size"], listed["Checksum"]) == (file.size, checksum), f"{path}: {file.path} is another in the map")
        require(not files, f"{path}: does not have {', '.join(files)}")

    def check_walks(self):
        """Without the index the frames must be the same as with it."""
        for pack in self.packs():
            require(pack.walk() == pack.index(), f"{pack.name}: its frames are not those of its index")

    def check_wal(self):
        """Whether each segment that recovery needs to become consistent is there and has its length."""
        size, end = self.document["wal_segment_bytes"], parse_lsn(self.document["end_lsn"])
        for segment in range(parse_lsn(self.document["begin_lsn"]) // size, (end - 1) // size + 1):
            high, low = divmod(segment, 2**32 // size)
            name = f"{self.document['timeline']:08X}{high:08X}{low:08X}"
            archived = self.cluster / "wal" / name[:16] / f"{name}.zst"
            incoming = self.cluster / "incoming" / name
            needed = size
            if archived.exists():
                length = len(decompress(archived.read_bytes(), archived))
            elif incoming.exists():
                length = incoming.stat().st_size
            else:
                length, needed = received(self.cluster / "incoming", name, segment, size), min(size, end - segment * size)
            require(needed <= length <= size, f"WAL segment {name}: {length} bytes, not {needed}")


def received(incoming, name, segment, size):
    """How many bytes of an unfinished segment are WAL: there may be zeros behind them."""
    content = (incoming / f"{name}.partial").read_bytes()
    try:
        mark = (incoming / f"{name[:8]}.received").read_bytes()
    except FileNotFoundError:
        return whole_pages(content, segment * size)
    position = int(mark[9:25], 16)
    if not segment * size < position <= (segment + 1) * size:
        return whole_pages(content, segment * size)
    require(len(mark) == 35 and mark[26:34] == b"%08X" % crc32c(mark[:25]), f"{name}: its mark is damaged")
    count = position - segment * size
    require(count <= len(content), f"{name}: {len(content)} bytes of {count} that were received")
    return count


def whole_pages(content, start):
    """How far each page begins with its own address: behind a hole may lie what was never synced."""
    for offset in range(0, len(content) - 23, 8192):
        if content[offset:offset + 2] == b"\0\0" or int.from_bytes(content[offset + 8:offset + 16], "little") != start + offset:
            return offset
    return len(content)


# Restoring.

def restore(backup, directory, tablespaces, recovery, problems):
    """Writes a data directory that a server recovers when it is started there."""
    entries = backup.map()
    files = [entry for entry in entries if entry.kind == "F"]
    places = {entry.path: tablespaces.pop(Path(entry.path).name, entry.target) for entry in entries if entry.kind == "L"}
    require(not tablespaces, f"the backup has no tablespace {', '.join(tablespaces)}")
    for place in [directory, *map(Path, places.values())]:
        require(not (place.exists() and any(place.iterdir())), f"{place} is not empty")

    # A tablespace's files come before its link in the map. With the link there first, they are written to their place.
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    for path, place in places.items():
        os.makedirs(place, exist_ok=True)
        os.chmod(place, 0o700)
        (directory / path).parent.mkdir(exist_ok=True)
        (directory / path).symlink_to(os.path.abspath(place))
    for entry in entries:
        if entry.kind == "D":
            (directory / entry.path).mkdir(parents=True, exist_ok=True)
        elif entry.kind == "F":
            (directory / entry.path).touch()

    def write(file, position, data):
        with open(directory / file.path, "r+b") as target:
            target.seek(position)
            target.write(data)

    backup.read_files(files, problems, write)
    for entry in reversed(entries):
        if entry.kind != "L":
            os.chmod(directory / entry.path, entry.mode)
            os.utime(directory / entry.path, (entry.modified, entry.modified))
    if problems:
        raise Damage(f"{directory} is incomplete")
    restore_configuration(backup, directory)
    prepare_recovery(directory, recovery)


def restore_configuration(backup, directory):
    """Puts the configuration files that lay outside into the directory, where a server looks for them that is told no
    more than its directory. Settings that lead to the original places are commented out."""
    names = {"config": "postgresql.conf", "hba": "pg_hba.conf", "ident": "pg_ident.conf"}
    saved = backup.configuration()
    home = next((Path(file["path"]).parent for file, _ in saved if file["kind"] == "config"), Path("/nowhere"))
    for file, content in saved:
        if file["kind"] in names:
            target = directory / names[file["kind"]]
        elif home in Path(file["path"]).parents:
            target = directory / Path(file["path"]).relative_to(home)
        else:
            print(f"{file['path']} is included by its full path; see {backup.folder}/config/{file['name']}", file=sys.stderr)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(mode=0o600)
        target.write_bytes(content)
    places = rb"(?mi)^[ \t]*(data_directory|config_file|hba_file|ident_file|external_pid_file)\b"
    for path in directory.glob("**/*.conf") if saved else ():
        path.write_bytes(re.sub(places, rb"# \1", path.read_bytes()))


def restore_command(backup):
    """Finds a segment in the archive or on its way there; it looks twice, as a receiver may move the segment meanwhile.
    To the server status 1 is the end of WAL; 255 stops it, because there is WAL that cannot be had."""
    cluster = shlex.quote(os.path.abspath(backup.cluster)).replace("%", "%%")
    size = backup.document["wal_segment_bytes"]
    return (
        f"wal={cluster}/wal; incoming={cluster}/incoming/%f; segment=$wal/$(echo %f | cut -c1-16)/%f.zst; "
        'for look in 1 2; do '
        'if [ -f "$segment" ]; then zstd -dqc "$segment" > "%p" && exit 0; exit 255; fi; '
        'if [ -f "$wal/%f" ]; then cp "$wal/%f" "%p" && exit 0; exit 255; fi; '
        'if [ -f "$incoming" ]; then cp "$incoming" "%p" && exit 0; fi; '
        f'if [ -f "$incoming.partial" ]; then cp "$incoming.partial" "%p" && truncate -s {size} "%p" && exit 0; fi; '
        'done; if [ -f "$incoming" ] || [ -f "$incoming.partial" ]; then exit 255; fi; exit 1')


def prepare_recovery(directory, recovery):
    """Overrides what an earlier recovery may have left in postgresql.auto.conf, and takes a standby's signal out.
    `recovery` is a command, and whether to stop as soon as the backup is consistent, not at the end of WAL."""
    command, is_immediate = recovery[0].replace("\\", "\\\\").replace("'", "''"), recovery[1]
    with open(directory / "postgresql.auto.conf", "a") as file:
        file.write(f"\nrestore_command = '{command}'\nrecovery_target_timeline = 'latest'\n")
        for target in ("", "_name", "_time", "_xid", "_lsn"):
            file.write(f"recovery_target{target} = ''\n")
        if is_immediate:  # last, for PostgreSQL takes any other target behind it, even an empty one, for a second one
            file.write("recovery_target = 'immediate'\nrecovery_target_action = 'promote'\n")
    (directory / "standby.signal").unlink(missing_ok=True)
    (directory / "recovery.signal").touch(mode=0o600)


# Commands.

def list_backups(cluster, options, problems):
    """A folder without backup.json is not a backup."""
    backups = [Backup(cluster, path.parent.name) for path in (cluster / "backups").glob("*/backup.json")]
    for backup in sorted(backups, key=lambda backup: backup.document["end_time"]):
        facts = [backup.document.get(name) or "-" for name in ("method", "end_time", "data_bytes", "name")]
        print(backup.id, *facts, "kept" if (backup.folder / "kept").exists() else "")


def verify_backup(cluster, options, problems):
    backup = Backup(cluster, options.backup)
    backup.configuration()

    def check_sums(pack, frame, crcs):
        try:
            sums = [crc for crc, _ in pack.sums(frame)]
            require(sums == crcs, f"{pack.name}: frame {frame.number}: its sums are not those of its blocks")
        except Damage as damage:
            problems.append(damage)

    backup.read_files([entry for entry in backup.map() if entry.kind == "F"], problems, check=check_sums)
    for check in (backup.check_manifest, backup.check_walks, backup.check_wal):
        try:
            check()
        except (Damage, OSError) as problem:
            problems.append(problem)


def restore_backup(cluster, options, problems):
    tablespaces = dict(mapping.split("=", 1) for mapping in options.tablespace)
    backup = Backup(cluster, options.backup)
    recovery = (options.restore_command or restore_command(backup), options.consistent)
    restore(backup, options.directory, tablespaces, recovery, problems)


def main():
    parser = argparse.ArgumentParser(description="Reads a pgark repository without pgark.")
    commands = parser.add_subparsers(required=True)
    for name, action in ("list", list_backups), ("verify", verify_backup), ("restore", restore_backup):
        command = commands.add_parser(name)
        command.set_defaults(action=action)
        command.add_argument("repository", type=Path)
        command.add_argument("cluster")
        if name != "list":
            command.add_argument("backup")
    command.add_argument("directory", type=Path)
    command.add_argument("--tablespace", action="append", default=[], metavar="OID=DIR")
    command.add_argument("--restore-command", metavar="CMD")
    command.add_argument("--consistent", action="store_true", help="recover no further than the backup needs")
    options = parser.parse_args()
    cluster, problems = options.repository / options.cluster, []
    try:
        read_document(options.repository / "repository.json")
        read_document(cluster / "cluster.json")
        options.action(cluster, options, problems)
    except KeyError as error:
        problems.append(f"a JSON document has no field {error}")
    except (Damage, OSError) as problem:
        problems.append(problem)
    if problems:
        sys.exit("\n".join(map(str, problems)))


if __name__ == "__main__":
    main()
