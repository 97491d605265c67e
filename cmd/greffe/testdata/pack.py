"""Reads a proof pack (greffe-pack/1) with the standard library of Python alone.

python3 pack.py PACK.zip KEY.pub prints a JSON object, or fails. It is written from the
package comments of pkg/evidence, pkg/archive and pkg/greffe, not from their code.
"""
import base64, hashlib, json, sys, zipfile
from datetime import datetime, timezone


def sha(b):
    return hashlib.sha256(b).hexdigest()


# Ed25519 (RFC 8032 §6), verification only.
P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    A, B = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    C, E = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = B - A, E - C, E + C, B + A
    return e * f % P, g * h % P, f * g % P, e * h % P


def mul(n, a):
    r = (0, 1, 1, 0)
    while n:
        if n & 1:
            r = add(r, a)
        a, n = add(a, a), n >> 1
    return r


def point(b):
    y = int.from_bytes(b, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert (x * x - x2) % P == 0
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def verify(public, text, sig):
    s = int.from_bytes(sig[32:], "little")
    assert s < Q
    h = int.from_bytes(hashlib.sha512(sig[:32] + public + text).digest(), "little") % Q
    a, b = mul(s, BASE), add(point(sig[:32]), mul(h, point(public)))
    assert (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0, "signature"


def open_note(b, key):
    """Returns the text of a signed note (C2SP signed-note)."""
    name, key_id, data = key.strip().split("+", 2)
    raw = base64.b64decode(data)
    assert raw[0] == 1 and hashlib.sha256(name.encode() + b"\n" + raw).hexdigest()[:8] == key_id
    text, _, sigs = b.decode().rpartition("\n\n")
    text += "\n"
    word, signer, sig = sigs.strip().split(" ")
    sig = base64.b64decode(sig)
    assert (word, signer, sig[:4].hex()) == ("\u2014", name, key_id), "key"
    verify(raw[1:], text.encode(), sig[4:])
    return text


def main(pack, key):
    z = zipfile.ZipFile(pack)
    files = {n: z.read(n) for n in z.namelist()}
    # Digests, and who signed them.
    sums = dict(reversed(l.split("  ")) for l in files["SHA256SUMS"].decode().splitlines())
    assert set(files) - set(sums) == {"SHA256SUMS", "SHA256SUMS.note"} and not set(sums) - set(files), "files"
    for name, s in sums.items():
        assert sha(files[name]) == s, name
    assert open_note(files["SHA256SUMS.note"], key) == "greffe-pack/1\n%s  SHA256SUMS\n" % sha(files["SHA256SUMS"])
    # Manifests and what they name.
    objects = 0
    manifests = {}
    for name, b in files.items():
        if not name.startswith("manifests/"):
            continue
        m = json.loads(b)
        assert m["format"] == "greffe-manifest/1"
        manifests[m["parsed"]["received"]["id"]] = sha(b)
        for o in [m.get("raw", {})] + list(m.get("objects", {}).values()):
            f = files.get("objects/" + o.get("key", ""))
            if f is not None:
                assert len(f) == o["size"] and sha(f) == o["sha256"], o["key"]
                objects += 1
    # The lines of the journal: each with its own hash, chained where they follow one another.
    lines = files["journal/entries.jsonl"].decode().split("\n")[:-1]
    entries = [json.loads(l) for l in lines]
    archived = set()
    for i, e in enumerate(entries):
        at = datetime.strptime(e["at"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
        ms = (at - datetime(1970, 1, 1, tzinfo=timezone.utc))
        ms = (ms.days * 86400 + ms.seconds) * 1000 + ms.microseconds // 1000
        h = hashlib.sha256(b"greffe-journal/1\n")
        for f in [e["prev"], str(e["seq"]), str(ms), e["actor"], e["action"], e["subject"], e["from"], e["result"], e["detail"]]:
            h.update(b"%d:%s," % (len(f.encode()), f.encode()))
        assert h.hexdigest() == e["hash"], e["seq"]
        if i and entries[i - 1]["seq"] == e["seq"] - 1:
            assert entries[i - 1]["hash"] == e["prev"], e["seq"]
        if e["action"] == "archived" and manifests.get(e["subject"]) in e["detail"].split():
            archived.add(e["subject"])
    assert archived == set(manifests), "archived"
    # Checkpoints and the proofs of the lines in their trees.
    roots = {}
    for name, b in files.items():
        if name.endswith(".checkpoint"):
            t = open_note(b, key).split("\n")
            roots[name] = (int(t[1]), base64.b64decode(t[2]))
    leaf = {e["seq"]: hashlib.sha256(b"\0" + l.encode()).digest() for e, l in zip(entries, lines)}
    proven = 0
    for block in files["journal/proofs.txt"].decode().split("\n\n")[1:]:
        head, *hashes = block.strip().split("\n")
        kind, *args = head.split(" ")
        if kind != "entry":
            continue
        h = leaf[int(args[0])]
        for side, p in (x.split(" ") for x in hashes):
            p = base64.b64decode(p)
            h = hashlib.sha256(b"\1" + (p + h if side == "L" else h + p)).digest()
        assert h == roots[args[1]][1], head
        proven += 1
    assert proven == len(entries), "proofs"
    record = json.loads(files["preuve.json"])
    print(json.dumps({"messages": len(manifests), "entries": proven, "objects": objects, "checkpoints": len(roots), "verdict": record["verdict"]}))


main(sys.argv[1], open(sys.argv[2]).read().strip().split("\n")[0])
