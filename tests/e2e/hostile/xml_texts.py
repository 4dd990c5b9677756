"""Mutations of XML bodies as a parser reads them: declarations, document types, entities, encodings, marks, sizes."""

from __future__ import annotations

from random import Random

from tests.e2e.hostile.message import Message

DOCTYPES = (
    "<!DOCTYPE x>", '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x">', '<!DOCTYPE x PUBLIC "-//x" "file:///etc/hosts">',
    '<!DOCTYPE x [<!ENTITY e "v">]>', '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hosts">]>',
    '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x"> %p;]>', "<!DOCTYPE x [<!ELEMENT x ANY>]>", "<!DOCTYPE",
    '<!DOCTYPE x [<!ATTLIST x a CDATA "d">]>', '<!DOCTYPE x [<!ENTITY e "&e;">]>',
    '<!DOCTYPE x [<!NOTATION n SYSTEM "n">]>',
    '<!DOCTYPE l [<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
    ) + "]>",
    '<!DOCTYPE l [<!ENTITY e "' + "x" * 5000 + '">]>',
)  # fmt: skip
ENTITIES = (
    "&e;",
    "&j;",
    "&amp",
    "&#0;",
    "&#xFFFF;",
    "&#x110000;",
    "&#xD800;",
    "&#13;",
    "&lt;",
    "&nbsp;",
    "&",
    "&#" + "9" * 400 + ";",
)
DECLARED = (
    "utf-8", "UTF8", "utf-16", "utf-32", "iso-8859-1", "us-ascii", "windows-1252", "utf-7", "ebcdic-cp-us", "x-none",
    "",
    "shift_jis", "gb18030", "iso-2022-jp", "u" * 500,
)  # fmt: skip
CODECS = (
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "utf-8-sig",
    "latin-1",
    "cp037",
    "utf-7",
    "gb18030",
    "shift_jis",
)


def _after_declaration(body: bytes) -> int:
    return body.find(b"?>") + 2 if body.startswith(b"<?xml") else 0


def _tag(body: bytes, chance: Random) -> int:
    """Where some tag begins or ends."""
    ends = [at for at, byte in enumerate(body) if byte == 62]
    return chance.choice(ends) + 1 if ends else 0


def doctype(message: Message, chance: Random) -> None:
    at = _after_declaration(message.body)
    message.body = message.body[:at] + chance.choice(DOCTYPES).encode() + message.body[at:]
    if chance.random() < 0.6:
        entity(message, chance)


def entity(message: Message, chance: Random) -> None:
    at = _tag(message.body, chance)
    message.body = message.body[:at] + chance.choice(ENTITIES).encode() + message.body[at:]


def declaration(message: Message, chance: Random) -> None:
    rest = message.body[_after_declaration(message.body) :]
    version = chance.choice(("1.0", "1.0", "1.1", "2.0", ""))
    alone = chance.choice(("", "", ' standalone="yes"', ' standalone="maybe"'))
    message.body = f'<?xml version="{version}" encoding="{chance.choice(DECLARED)}"{alone}?>'.encode() + rest


def encoding(message: Message, chance: Random) -> None:
    codec = chance.choice(CODECS)
    text = message.body.decode("utf-8", "replace")
    if chance.random() < 0.6:
        text = text.replace("utf-8", codec.replace("utf-8-sig", "utf-8"), 1).replace("UTF-8", codec, 1)
    message.body = text.encode(codec, "replace")


def marks(message: Message, chance: Random) -> None:
    """Comments, processing instructions and CDATA, whole and half."""
    mark = chance.choice(
        (
            "<!-- c -->", "<!--", "<!-- -- -->", "<?pi data?>", "<?xml version='1.0'?>", "<?", "<![CDATA[x]]>",
            "<![CDATA[",
            "]]>", "<![INCLUDE[", "</", "<", "/>", "<!-- " + "c" * 9000 + " -->", "<D:a", "\x00", "\x01", "\x7f",
            "\ufffe",
        )
    )  # fmt: skip
    at = chance.choice((0, len(message.body), _tag(message.body, chance), _tag(message.body, chance)))
    message.body = message.body[:at] + mark.encode() + message.body[at:]


def very_deep(message: Message, chance: Random) -> None:
    at = _tag(message.body, chance)
    depth = chance.choice((200, 257, 1000, 5000))
    name = chance.choice((b"X:a", b"C:comp-filter", b"D:property", b"C:comp"))
    closed = b"</%b>" % name * depth if chance.random() < 0.8 else b""
    message.body = message.body[:at] + b"<%b>" % name * depth + closed + message.body[at:]


def huge(message: Message, chance: Random) -> None:
    at = _tag(message.body, chance)
    size = chance.choice((10_000, 100_000, 1_000_000, 5_000_000)) if chance.random() < 0.2 else 3_000
    piece = chance.choice(
        (b"x", b" ", b"<D:getetag/>", b"<D:href>/calendars/users/x/y/z.ics</D:href>", b"&#65;", b"<a>", b"\xc3\xa4")
    )
    message.body = message.body[:at] + piece * (size // len(piece)) + message.body[at:]


TEXT = {each.__name__: each for each in (doctype, entity, declaration, encoding, marks, very_deep, huge)}
