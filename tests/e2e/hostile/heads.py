"""Mutations of what comes before the body: methods, paths, headers, and how the body's length is told."""

from __future__ import annotations

from random import Random

from tests.e2e.hostile.message import Message

METHODS = (
    "GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PROPFIND", "PROPPATCH", "REPORT", "MKCOL", "MKCALENDAR",
    "COPY", "MOVE", "ACL",
    "LOCK", "UNLOCK", "PATCH", "TRACE", "CONNECT", "SEARCH", "BIND", "QUERY",
)  # fmt: skip
TAILS = (
    b"%", b"%zz", b"%ff", b"%c3%28", b"%ed%a0%80", b"%00", b"a%00b", b"%0a", b"%0d%0aX:%201", b"%7f", b"%2e%2e",
    b"..", b".", b"../x",
    b"%2e%2e/%2e%2e/etc/passwd", b"a%2fb", b"%2f", b"%5c..%5c",
    b"x" * 1001, b"x" * 1000, b"%C3%A4" * 170, b"a/b/c/d/e/f/g", b"/" * 300,
    b"a/" * 2000, b"%C2%85", b"?", b"?a=b&c=%00", b"#frag", b";add-member", b";x=y", b"%25252e", b"*", b"[", b"|",
    b"^", b"{}", b"~root",
    b"\xff", b"\xc3\xa4", b"\xed\xa0\x80", b"inbox/", b"outbox/", b"calendar-proxy-write/", b"%F0%9F%98%80",
    b"e%CC%81.ics", b"con", b"%20", b"+",
    b"x" * 9000, b"x" * 31_000, b"calendar", b"CALENDAR/", b"%63alendar/",
)  # fmt: skip
TARGETS = (
    b"/", b"//", b"*", b"http://127.0.0.1/", b"http://other.example/calendars/", b"http://[", b"HTTP://a:99999/x",
    b"ftp://a/", b"javascript:x",
    b"/principals/", b"/principals/users/", b"/principals/__uids__/", b"/calendars/", b"/calendars/__uids__/",
    b"/addressbooks/users/",
    b"/.well-known/", b"/.well-known/carddav", b"/healthz", b"/metrics", b"/favicon.ico", b"/calendars/groups/victim/",
    b"{victim_home}", b"{victim_calendar}", b"{victim_calendar}secret.ics", b"{victim_book}secret.vcf",
    b"{victim_principal}", b"{victim_books}",
    b"/calendars/users/VICTIM/calendar/secret.ics", b"/calendars/users/../users/victim/", b"{calendar}", b"{home}",
    b"{book}", b"{books}",
    b"{principal}", b"{tasks}", b"{calendar}1.ics", b"{book}1.vcf", b"{home}inbox/", b"{home}outbox/",
    b"{home}nothing/", b"{home}nothing/x.ics",
)  # fmt: skip
VALUES = (
    b"", b" ", b"0", b"1", b"-1", b"2", b"infinity", b"Infinity", b"infinite", b"0, 0", b"1.0",
    b"99999999999999999999", b"*", b'"', b'""', b'"x"',
    b'W/"x"', b'"{etag}"', b'"{etag}", "x"', b'"' * 3000, b"T", b"F", b"maybe", b"=;,;=,,return=", b"\x80\xff",
    b"\xc3\xa4", b"x" * 6000,
    b"x" * 40_000, b"text/calendar", b"text/vcard", b"text/plain", b"\xff/\xff; charset=\xff",
    b"application/xml; charset=utf-16",
    b"text/calendar; charset=iso-8859-1", b"text/calendar; component=VTODO", b"multipart/form-data; boundary=",
    b"image/png", b"/", b";;",
    b"(" * 900, b"(<a>)", b"<{calendar}> ([\"{etag}\"])", b"([\"{etag}\"]", b"(Not)", b"<http://[> (<a>)",
    b"(<urn:x> [W/\"a\"])" * 200,
    b"()", b"<{victim_calendar}secret.ics> ([\"x\"])", b"gzip;q=" + b"9" * 999, b"gzip, br;q=0, *", b"identity;q=0",
    b"*;q=0", b"bytes=0-0",
    b"bytes=99999999999999999999-", b"bytes=-1,0-", b"bytes=" + b"0-1," * 500, b"Mon, 99 Foo 99999 99:99:99 GMT",
    b"Thu, 01 Jan 1970 00:00:00 GMT",
    b"return=minimal, return=representation, depth-noroot", b"Basic", b"Basic !!!!", b"Basic OnBhc3M=", b"Basic Og==",
    b"Basic /////w==", b"Bearer x",
    b"Digest username=x", b"Negotiate", b"Basic " + b"A" * 20_000, b"100-continue", b"200-ok", b"close", b"upgrade",
    b"keep-alive, close", b"::::",
    b"127.0.0.1", b"http://[", b"/%ff", b"/..", b"javascript:alert(1)", b"{victim_calendar}",
    b"{victim_calendar}new.ics", b"{calendar}1.ics",
    b"{home}", b"http://other.example{calendar}x.ics", b"{calendar}a%00", b"{calendar}" + b"x" * 1500, b"/" * 5000,
)  # fmt: skip
NAMES = (
    b"Depth", b"Depth", b"If", b"If", b"If-Match", b"If-None-Match", b"If-Modified-Since", b"If-Unmodified-Since",
    b"If-Schedule-Tag-Match",
    b"Destination", b"Destination", b"Overwrite", b"Prefer", b"Brief", b"Content-Type", b"Content-Encoding",
    b"Content-Language", b"Expect", b"Range",
    b"Accept", b"Accept-Encoding", b"Accept-Charset", b"User-Agent", b"Cookie", b"Host", b"X-Forwarded-For",
    b"X-Forwarded-Proto", b"Forwarded",
    b"Remote-User", b"Lock-Token", b"Timeout", b"Origin", b"Referer", b"Slug", b"Connection", b"TE", b"Traceparent",
    b"X-HTTP-Method-Override",
    b"Content-Range", b"Date", b"Via", b"Sec-WebSocket-Key", b"X-Request-Id",
)  # fmt: skip


def method(message: Message, chance: Random) -> None:
    message.method = chance.choice(METHODS).encode()


def strange_method(message: Message, chance: Random) -> None:
    message.method = chance.choice(
        (b"get", b"G\xc3\x84T", b"", b"GET GET", b"X" * 9000, b"\x16\x03\x01", b"PRI", b"M-SEARCH", b"GET\t")
    )
    message.alone = message.loose = True


def path_tail(message: Message, chance: Random) -> None:
    base = message.target
    if chance.random() < 0.5:
        base = base[: base.rfind(b"/") + 1]
    message.target = base + chance.choice(TAILS)
    message.alone = True


def path_segment(message: Message, chance: Random) -> None:
    """A segment in the middle that is another one, or none."""
    parts = message.target.split(b"/")
    at = chance.randrange(len(parts))
    parts[at : at + chance.randint(0, 1)] = [
        chance.choice((*TAILS, b"", b"", b"users", b"victim", b"__uids__", b"groups"))
    ]
    message.target = b"/".join(parts)
    if not message.target.startswith(b"/") and chance.random() < 0.8:
        message.target = b"/" + message.target
    message.alone = True


def path_spelling(message: Message, chance: Random) -> None:
    """The same path, written in another way."""
    kind = chance.randrange(6)
    path = message.target
    if kind == 0:
        path = b"".join(b"%%%02x" % byte if byte != 47 and chance.random() < 0.3 else bytes((byte,)) for byte in path)
    elif kind == 1:
        path = path.replace(b"/", b"//")
    elif kind == 2:
        path = b"http://127.0.0.1:1" + path
    elif kind == 3:
        path = path.rstrip(b"/") if path.endswith(b"/") else path + b"/"
    elif kind == 4:
        path = path.replace(b"/", b"/./", 2)
    else:
        path = path.swapcase()
    message.target = path
    message.alone = True


def target(message: Message, chance: Random) -> None:
    message.target = chance.choice(TARGETS)
    message.alone = True


def control_in_target(message: Message, chance: Random) -> None:
    at = chance.randint(0, len(message.target))
    odd = (
        b" ",
        b"\0",
        b"\r\n",
        b"\n",
        b"\t",
        b"\x7f",
        b"\x01",
        b"\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n",
        b" HTTP/1.1\r\n",
        b"\xa0",
    )
    message.target = message.target[:at] + chance.choice(odd) + message.target[at:]
    message.alone = message.loose = True


def header(message: Message, chance: Random) -> None:
    name = chance.choice(NAMES)
    value = chance.choice(VALUES)
    message.alone = True
    if name in (b"Connection", b"Expect", b"TE", b"Host"):
        message.loose = True
    message.set(name, value)


def repeated_header(message: Message, chance: Random) -> None:
    message.headers.append(
        chance.choice(message.headers) if chance.random() < 0.5 else (chance.choice(NAMES), chance.choice(VALUES))
    )
    message.alone = message.loose = True


def dropped_header(message: Message, chance: Random) -> None:
    del message.headers[chance.randrange(len(message.headers))]
    message.alone = True


def many_headers(message: Message, chance: Random) -> None:
    count = chance.choice((50, 120, 130, 1000))
    message.headers += [(b"X-%d" % number, b"y" * chance.choice((1, 200))) for number in range(count)]
    message.alone = message.loose = True


def broken_header(message: Message, chance: Random) -> None:
    odd = (
        (b"No colon at all", b"x\r\nAnother"), (b"", b"x"), (b" X", b"folded"), (b"X\0", b"1"), (b"X", b"a\0b"),
        (b"X", b"a\rb"), (b"X", b"a\nb"),
        (b"X y", b"1"), (b"X\xff", b"1"), (b"X", b"\x01\x02"), (b"X", b"1\r\n folded"), (b"X:", b"1"), (b"Depth ",
        b"0"), (b"(X)", b"1"),
    )  # fmt: skip
    message.headers.insert(chance.randint(0, len(message.headers)), chance.choice(odd))
    message.alone = message.loose = True


def chunked(message: Message, chance: Random) -> None:
    """The body in chunks, which is right."""
    parts, rest = [], message.body
    while rest:
        size = chance.choice((1, 7, 100, 4096, len(rest)))
        part, rest = rest[:size], rest[size:]
        extension = b";a=b" if chance.random() < 0.1 else b""
        parts.append(b"%x%b\r\n%b\r\n" % (len(part), extension, part))
        if len(parts) > 300:
            parts.append(b"%x\r\n%b\r\n" % (len(rest), rest) if rest else b"")
            break
    message.headers.append((b"Transfer-Encoding", b"chunked"))
    message.wire = b"".join(parts) + b"0\r\n" + (b"X-Trailer: 1\r\n" if chance.random() < 0.1 else b"") + b"\r\n"
    message.alone = True


def broken_chunks(message: Message, chance: Random) -> None:
    chunks = (
        b"zz\r\nab\r\n0\r\n\r\n", b"5\r\nabcdefgh\r\n0\r\n\r\n", b"-1\r\n\r\n", b"FFFFFFFFFFFFFFFFF\r\n", b"5\r\nab",
        b"0\r\n", b"\r\n\r\n", b"1;" + b"e" * 9000,
        b"0x5\r\nabcde\r\n0\r\n\r\n", b"5\nabcde\n0\n\n", b" 5\r\nabcde\r\n0\r\n\r\n", b"5 \r\nabcde\r\n0\r\n\r\n",
        b"1\r\na\r\n" * 2000, b"0\r\nX\r\n\r\n",
    )  # fmt: skip
    codings = (
        b"chunked",
        b"chunked",
        b"Chunked",
        b"chunked, chunked",
        b"gzip, chunked",
        b"identity",
        b"xchunked",
        b"chunked, identity",
        b"\x0bchunked",
    )
    message.headers.append((b"Transfer-Encoding", chance.choice(codings)))
    if chance.random() < 0.2:
        message.headers.append((b"Content-Length", b"5"))
    message.wire = chance.choice(chunks)
    message.alone = message.loose = True


def other_length(message: Message, chance: Random) -> None:
    size = len(message.body)
    odd = (
        b"-1", b"+%d" % size, b"0", b"1", b"%d" % (size + 1), b"%d" % (size + 10**6), b"9" * 30, b"0x10", b"abc", b"",
        b"%d, %d" % (size, size),
        b"%d.0" % size, b"1_0", b"\xd9\xa1", b"%d\r\nContent-Length: 7" % size, b"000%d" % size,
    )  # fmt: skip
    message.headers.append((b"Content-Length", chance.choice(odd)))
    message.wire = message.body
    message.alone = message.loose = True


def coded_body(message: Message, chance: Random) -> None:
    """A content coding: rightly, wrongly, or with very much in very little."""
    import gzip
    import zlib

    kind = chance.randrange(6)
    raw = message.body
    coding = (b"gzip", b"deflate", b"gzip", b"br", b"gzip, gzip", b"gzip")[kind]
    if kind == 0:
        raw = gzip.compress(raw, 1)
    elif kind == 1:
        raw = zlib.compress(raw, 1)
    elif kind == 2:
        raw = gzip.compress(raw + b" " * (20_000_000 if chance.random() < 0.05 else 100_000), 1)
    elif kind == 4:
        raw = gzip.compress(gzip.compress(raw, 1), 1)
    elif kind == 5:
        raw = gzip.compress(raw, 1)[: chance.randint(0, 40)]
    message.body = raw
    message.set(b"Content-Encoding", coding)
    message.alone = True


def half(message: Message, chance: Random) -> None:
    """Half of a request, and then nothing."""
    whole = message.encode()
    message.wire = whole[: chance.randint(1, len(whole) - 1)]
    message.method = b""
    message.alone = message.loose = True


def garbage(message: Message, chance: Random) -> None:
    """Something else before the request."""
    before = chance.choice(
        (b"\r\n", b"\r\n\r\n", b"\0", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60), b"garbage\r\n\r\n",
        b"GET\r\n\r\n", b" ",
         b"GET / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n", b"GET /\r\n",
         b"\xff" * 100, b"x" * 70_000)
    )  # fmt: skip
    message.wire = before + message.encode()
    message.method = b""
    message.alone = message.loose = True


HEAD = {
    each.__name__: each
    for each in (
        method, path_tail, path_segment, path_spelling, target, header, header, header, dropped_header, chunked,
        coded_body,
    )
}  # fmt: skip
LOOSE = {
    each.__name__: each
    for each in (
        strange_method, control_in_target, repeated_header, many_headers, broken_header, broken_chunks, other_length,
        half, garbage,
    )
}  # fmt: skip
"""Those after which the connection is of no further use, or may be."""
