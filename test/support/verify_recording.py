"""A second verifier of vgate recordings: docs/spec/recording-v1.md, with nothing but Python's standard library.

    verify_recording.py FILE KEY...   verdict of one file; a KEY is a raw Ed25519 public key in base64
    verify_recording.py --batch KEY.. reads frames (4 bytes length, file) from stdin, answers one line each
"""

import base64, functools, hashlib, json, re, sys, zlib

# Ed25519 (RFC 8032 §5.1 and §6), verification only.
P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    x = (a[1] - a[0]) * (b[1] - b[0]) % P
    y = (a[1] + a[0]) * (b[1] + b[0]) % P
    t, z = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = y - x, z - t, z + t, y + x
    return e * f % P, g * h % P, f * g % P, e * h % P


@functools.lru_cache(maxsize=16)
def doubles(point):
    return [point, *(point := add(point, point) for _ in range(255))]


def multiply(scalar, point):
    return functools.reduce(add, (at for n, at in enumerate(doubles(point)) if scalar >> n & 1), (0, 1, 1, 0))


def decompress(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P != 0:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - x2) % P != 0 or (x == 0 and sign == 1):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


@functools.lru_cache(maxsize=4096)
def ed25519(public, message, signature):
    point, r, s = decompress(public), decompress(signature[:32]), int.from_bytes(signature[32:], "little")
    if point is None or r is None or s >= Q:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % Q
    left, right = multiply(s, BASE), add(r, multiply(h, point))
    return all((left[i] * right[2] - right[i] * left[2]) % P == 0 for i in (0, 1))


def h(data):
    return hashlib.new("sha512_256", data).digest()


TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
ID = re.compile(r"[a-z0-9_]{1,64}")
NOTE = re.compile(
    r"vgate-recording-v1/([a-z0-9_]{1,64})\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\nblock (0|[1-9][0-9]{0,15})\n"
    r"state (open|closed|recovered)\ntime [0-9TZ:.-]{20,30}\n(?:[a-z][a-z0-9-]{0,15} [!-~]{1,200}\n){0,4}"
)
SIGNATURE = re.compile(r"— (vgate/[0-9a-f]{16}) ([A-Za-z0-9+/]{91}=)\n")


def unbase64(text, size):
    raw = base64.b64decode(text)
    return raw if len(raw) == size and base64.b64encode(raw).decode() == text else None


def text_like(value, pattern):
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def whole(value, least):
    return type(value) is int and least <= value < 2**53


def header_of(data):
    """(JSON, public key, bytes it takes), or None."""
    if data[:16] != b"vgate/recording\n" or data[16:17] != b"\x01":
        return None
    end = 19 + int.from_bytes(data[17:19], "big")
    if not 19 + 2 <= end <= 19 + 4096 or len(data) < end + 32:
        return None
    if h(b"vgate-recording-v1/header\n" + data[:end]) != data[end : end + 32]:
        return None
    try:
        text = data[19:end].decode()
        fields = json.loads(text)
        if json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False) != text:
            return None
        more = set(fields) - {"kind", "id", "created", "key"}
        key, before = fields["key"], fields.get("previous")
        good = fields["kind"] in ("session", "log") and text_like(fields["id"], ID) and text_like(fields["created"], TIME)
        good = good and more <= {"seal", "number", "previous"} and set(key) == {"id", "public"}
        good = good and ("seal" not in more or text_like(fields["seal"], r"[ -~]{1,1024}"))
        good = good and ("number" not in more or whole(fields["number"], 1))
        if good and "previous" in more:
            good = set(before) == {"id", "records", "head"} and text_like(before["id"], ID)
            good = good and whole(before["records"], 0) and text_like(before["head"], "[0-9a-f]{64}")
        public = unbase64(key["public"], 32) if good else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    if public is None or hashlib.sha256(public).hexdigest()[:16] != key["id"]:
        return None
    return fields, public, end + 32


def checkpoint_of(payload, header, public):
    """(records, head, block, state), or None."""
    text, _, line = payload.decode(errors="replace").partition("\n\n")
    note, signed = NOTE.fullmatch(text + "\n"), SIGNATURE.fullmatch(line)
    if note is None or signed is None or note[1] != header["id"]:
        return None
    head, signature = unbase64(note[3], 32), unbase64(signed[2], 68)
    name = "vgate/" + header["key"]["id"]
    hint = hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]
    if head is None or signature is None or signed[1] != name or signature[:4] != hint:
        return None
    if not ed25519(public, (text + "\n").encode(), signature[4:]):
        return None
    return int(note[2]), head, int(note[4]), note[5]


def verify(data, trusted):
    """(verdict, proven records, place or None). The numbers are the steps of the specification."""
    header = header_of(data)  # 1
    if header is None:
        return "tampered", 0, (1, 0, 0)
    fields, public, offset = header
    file_hash = last = data[offset - 32 : offset]
    records = signed = block = 0
    after, state = (1, block, offset), "open"

    def torn(length):  # 7
        begin = max(offset, (offset + length - 1) // 512 * 512)
        return not any(data[begin:]) or not any(data[offset:])

    while state == "open" and len(data) - offset >= 56:  # 2
        bad = ("tampered", signed, (records + 1, block, offset))
        head = data[offset : offset + 56]
        number = lambda at, size: int.from_bytes(head[at : at + size], "big")
        if zlib.crc32(head[:52]) != number(52, 4):  # 3
            if torn(56) and block > 0:
                break
            return bad
        length, kind, flags, count, first, size = (number(*at) for at in ((0, 4), (4, 1), (5, 1), (6, 2), (8, 8), (16, 4)))
        most = 33554432 if kind == 1 else 1024
        if kind not in (1, 2) or not 1 <= length - 88 <= most or not 1 <= size <= most or first >= 2**53:
            return bad
        if flags & ~(0x11 if kind == 1 else 0) or (flags == 0 and size != length - 88):
            return bad
        if (not 1 <= count <= 500 if kind == 1 else count != 0) or (flags & 0x10 and "seal" not in fields):
            return bad
        if head[20:52] != last or first != records + 1 or (block == 0 and kind != 2):  # 4
            return bad
        if len(data) - offset < length:
            break
        end = offset + length
        if h(b"vgate-recording-v1/block\n" + file_hash + data[offset : end - 32]) != data[end - 32 : end]:  # 5
            if torn(length) and block > 0:
                break
            return bad
        if kind == 2:  # 6
            found = checkpoint_of(data[offset + 56 : end - 32], fields, public)
            if found is None:
                return bad
            if found[:3] != (records, last, block):
                return "tampered", signed, after
            state, signed = found[3], records
            after = (records + 1, block + 1, end)
        records, block, offset, last = records + count, block + 1, end, data[end - 32 : end]
    if block == 0 or (state != "open" and offset < len(data)):  # 8, 9
        return "tampered", signed, (records + 1, block, offset)
    known = public in trusted  # 10
    place = None if state == "closed" else (signed + 1, block, offset)
    return ("closed" if state == "closed" else "incomplete") if known else "unknown_key", signed, place


def line(data, trusted):
    verdict, records, place = verify(data, trusted)
    return f"{verdict} {records} {'-' if place is None else '%d %d %d' % place}"


if __name__ == "__main__":
    keys = [base64.b64decode(key) for key in sys.argv[2:]]
    if sys.argv[1] != "--batch":
        print(line(open(sys.argv[1], "rb").read(), keys))
    else:
        while frame := sys.stdin.buffer.read(4):
            print(line(sys.stdin.buffer.read(int.from_bytes(frame, "big")), keys))
