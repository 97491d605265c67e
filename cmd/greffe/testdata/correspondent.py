"""A correspondent with another mail program: sends what stands in standard input, or
reads the mailboxes and prints what is in them as JSON, one line a mail.

    correspondent.py send SMTP CA USER PASSWORD FROM TO
    correspondent.py read IMAP CA USER PASSWORD
"""
import email, email.policy, hashlib, imaplib, json, smtplib, ssl, sys


def digest(b):
    """SHA-256 of a mail, whatever ends it."""
    b = b.replace(b"\r\n", b"\n").rstrip(b"\n")
    return hashlib.sha256(b).hexdigest()


def names(message):
    return [p.get_filename() for p in message.walk() if p.get_filename()]


def part(p):
    out = {"type": p.get_content_type(), "file": p.get_filename() or ""}
    if p.get_content_type() == "text/plain":
        out["text"] = p.get_content()
    if p.get_content_type() == "message/disposition-notification":
        out["fields"] = {k: str(v) for block in p.get_payload() for k, v in block.items()}
    return out


def describe(raw):
    m = email.message_from_bytes(raw, policy=email.policy.default)
    out = {k: str(m.get(h, "")) for k, h in [
        ("subject", "Subject"), ("from", "From"), ("to", "To"), ("reply_to", "Reply-To"), ("auto", "Auto-Submitted"), ("in_reply_to", "In-Reply-To"),
        ("references", "References"), ("return_path", "Return-Path")]}
    out["type"] = m.get_content_type()
    out["report"] = m.get_param("report-type") or ""
    out["parts"] = [part(p) for p in m.iter_parts()] if m.is_multipart() else [part(m)]
    # The mail inside, byte for byte: what stands between its empty line and the boundary.
    boundary = m.get_boundary()
    for p in m.iter_parts() if m.is_multipart() else []:
        if p.get_content_type() == "message/rfc822":
            last = raw.split(b"--" + boundary.encode())[-2]
            inside = last.lstrip(b"\r\n").split(b"\r\n\r\n", 1)[1]
            out["inside"] = digest(inside)
            out["names"] = names(p.get_payload(0))
    out["defects"] = [str(d) for p in m.walk() for d in p.defects]
    return out


what, address, ca, user, password = sys.argv[1:6]
host, port = address.rsplit(":", 1)
context = ssl.create_default_context(cafile=ca)
if what == "send":
    raw = sys.stdin.buffer.read()
    with smtplib.SMTP(host, int(port), timeout=60) as s:
        s.starttls(context=context)
        s.login(user, password)
        s.sendmail(sys.argv[6], [sys.argv[7]], raw, mail_options=["BODY=8BITMIME"])
    print(json.dumps({"names": names(email.message_from_bytes(raw, policy=email.policy.default))}))
else:
    with imaplib.IMAP4_SSL(host, int(port), ssl_context=context) as m:
        m.login(user, password)
        m.select("INBOX", readonly=True)
        for n in m.search(None, "ALL")[1][0].split():
            print(json.dumps(describe(m.fetch(n, "(BODY.PEEK[])")[1][0][1])))
