"""Reading an Internet message (RFC 5322) and its MIME parts (RFC 2045, RFC 2046): headers, decoded leaves, one sender.

What is broken is read as far as it can be; nothing raises an error but a mail that exceeds the limits. Forwarded mails
(message/rfc822) are leaves: what they hold was sent by somebody else, to somebody else.
"""

from __future__ import annotations

import binascii
import codecs
import quopri
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header
from functools import cached_property

from server.domain.errors import ResourceTooLarge

MAX_SIZE = 10 * 1_048_576
"""Bytes of a mail."""
MAX_PARTS = 100
"""MIME parts of a mail."""
MAX_DEPTH = 10
"""Nested multiparts of a mail. What lies deeper is not looked at."""
_MAX_HEADER = 262_144
"""Bytes of the header of a mail or part that are read."""
_MAX_ADDRESS = 2_000
"""Characters of a field with an address."""
MAX_ADDRESSES = 2_000
"""Addresses of a field that are read."""
_MAX_ADDRESSES_LENGTH = 200_000
"""Characters that are read of a field with many addresses."""
_MAX_NAME = 200
"""Characters of a name beside an address."""
_MAX_PARAMETERS = 4_000
"""Characters that are read of a field with parameters."""

_HEADER_END = re.compile(rb"\r?\n(?:\r?\n|\Z)")
_LINE_END = re.compile(r"\r?\n")
_FIELD = re.compile(r"([!-9;-~]+):(.*)", re.DOTALL)
"""Without the space before the colon that old programs wrote: mail servers may not find a forged field then."""
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*+"?|[^;]*)', re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_LISTED = re.compile(r'(?:"(?:[^"\\]|\\.?)*+"?|[^,"])++', re.DOTALL)
"""An item of a list with commas, of which quoted ones do not count. A quote that does not end reaches to the end: so
no character is looked at twice."""
_COMMENT = re.compile(r"\([^()]*\)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ADDRESS = re.compile(r"[^\s<>@\",;:()\[\]\\\x00-\x1f\x7f]{1,64}@[^\s<>@\",;:()\[\]\\\x00-\x1f\x7f]{1,255}")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_CHARSET = re.compile(
    r"utf-?(8|16|32)(-?[lb]e)?|(us-)?ascii|iso-?8859-?\d{1,2}(-[ei])?|(windows|cp|ibm)-?\d{3,4}|latin-?\d{1,2}|koi8-[rut]"
    r"|(shift-?|s|ms-?)jis|euc-(jp|kr|cn)|iso-2022-(jp|kr)[0-9a-z-]*|gb2312|gbk|gb18030|big5(-?hkscs)?|hz(-gb-2312)?"
    r"|ks-c-5601[0-9-]*|johab|tis-620|mac-?[a-z]+"
)
"""Names of the charsets that mails are read in. Python knows other codecs, which are slow or give no characters."""
_OWN_ALPHABETS = ("utf-16", "utf16", "utf-32", "utf32", "iso-2022", "hz")
"""Beginnings of the names of charsets whose bytes may be valid UTF-8 and mean something else."""


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a mail or of a part."""

    fields: tuple[tuple[str, str], ...]
    """Lower-case names and unfolded values, in order."""

    def all(self, name: str) -> list[str]:
        """The values of the fields with a lower-case name, the topmost first."""
        return [value for key, value in self.fields if key == name]

    def first(self, name: str) -> str:
        """The value of the topmost field with a lower-case name; empty without one."""
        return next((value for key, value in self.fields if key == name), "")

    @property
    def content_type(self) -> tuple[str, Mapping[str, str]]:
        """The media type in lower case, and its parameters by lower-case name; `text/plain` without a readable one."""
        return _with_parameters(self.first("content-type"), "text/plain")

    @property
    def filename(self) -> str:
        """The file name of a part, by Content-Disposition or Content-Type; empty without one."""
        _, given = _with_parameters(self.first("content-disposition"), "inline")
        return given.get("filename") or self.content_type[1].get("name", "")


@dataclass(frozen=True)
class Part:
    """A part of a mail that is no multipart."""

    header: Header
    body: bytes
    """As it was sent: encoded as Content-Transfer-Encoding says."""

    @cached_property
    def content(self) -> bytes:
        """The decoded body. What is no part of the encoding is passed over."""
        match self.header.first("content-transfer-encoding").strip().lower():
            case "base64":
                return _base64(self.body)
            case "quoted-printable":
                return quopri.decodestring(self.body)
        return self.body

    @property
    def text(self) -> str:
        """The content as characters, without a byte order mark.

        What is valid UTF-8 is UTF-8, whatever the header says: programs write `us-ascii` or `iso-8859-1` where they do
        not look. Otherwise the charset of the header counts; what that cannot read is Windows-1252.
        """
        return decoded(self.content, self.header.content_type[1].get("charset", ""))


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it came."""

    header: Header
    parts: tuple[Part, ...]
    """Its leaves, in order."""

    @property
    def sender(self) -> str | None:
        """The address in From; None where there is not exactly one that is written as RFC 5322 §3.4 wants it."""
        written = self.header.all("from")
        return address_in(written[0]) if len(written) == 1 else None

    @property
    def message_id(self) -> str:
        """Message-ID, with its brackets; empty without one."""
        return "".join(filter(str.isprintable, self.header.first("message-id")))[:998]


def read_mail(data: bytes) -> Mail:
    """The mail in some bytes. Raises `ResourceTooLarge` for one of more than `MAX_SIZE` bytes or `MAX_PARTS` parts."""
    if len(data) > MAX_SIZE:
        raise ResourceTooLarge(f"A mail has at most {MAX_SIZE} bytes.")
    if data.startswith(b"From "):
        # The line that mbox files, and some pipes, put in front.
        data = data.partition(b"\n")[2]
    header, body = _divided(data)
    parts: list[Part] = []
    for part in _leaves(header, body, MAX_DEPTH):
        if len(parts) == MAX_PARTS:
            raise ResourceTooLarge(f"A mail has at most {MAX_PARTS} parts.")
        parts.append(part)
    return Mail(header, tuple(parts))


def address_in(written: str) -> str | None:
    """The one mail address in a field such as From, in lower case; None where there is none, or more than one."""
    if len(written) > _MAX_ADDRESS:
        return None
    plain = _QUOTED.sub("", written)
    for _ in range(3):
        plain = _COMMENT.sub("", plain)
    before, bracket, rest = plain.partition("<")
    if bracket:
        address, end, behind = rest.partition(">")
        if not end or behind.strip() or "," in before or ";" in before or ":" in before:
            return None
    else:
        address = before
    address = address.strip()
    return address.lower() if _ADDRESS.fullmatch(address) else None


def addresses_in(written: str) -> tuple[tuple[str, str], ...]:
    """The names and addresses in a field such as To, at most `MAX_ADDRESSES`; what is no address is left out."""
    found: list[tuple[str, str]] = []
    for piece in _LISTED.findall(written[:_MAX_ADDRESSES_LENGTH]):
        address = address_in(piece)
        if address is not None and len(found) < MAX_ADDRESSES:
            before, bracket, _ = piece.rpartition("<")
            name = _ESCAPE.sub(r"\1", before.strip().removeprefix('"').removesuffix('"')) if bracket else ""
            found.append((_words(name[:_MAX_NAME]), address))
    return tuple(found)


def _words(written: str) -> str:
    """A name with its encoded words (RFC 2047) decoded."""
    try:
        pieces = decode_header(written)
    except HeaderParseError:
        return written
    texts = (decoded(each, charset or "") if isinstance(each, bytes) else each for each, charset in pieces)
    return "".join(texts)


def decoded(content: bytes, charset: str) -> str:
    """Bytes as characters (`Part.text`)."""
    charset = charset.strip().strip("'\"").lower().replace("_", "-")
    charset = charset if _CHARSET.fullmatch(charset) else ""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "replace") if encoding == "utf-8" else _utf16(content)
    for encoding in (charset, "utf-8") if charset.startswith(_OWN_ALPHABETS) else ("utf-8", charset):
        try:
            return content.decode(encoding) if encoding else content.decode("ascii")
        except (LookupError, ValueError):
            continue
    return content.decode("cp1252", "replace")


def _utf16(content: bytes) -> str:
    return content.decode("utf-16", "replace")


def _divided(data: bytes) -> tuple[Header, bytes]:
    """Header and body of a mail or part."""
    if data.startswith((b"\n", b"\r\n")):
        return Header(()), data.partition(b"\n")[2]
    end = _HEADER_END.search(data)
    head, body = (data, b"") if end is None else (data[: end.start()], data[end.end() :])
    text = _FOLD.sub("", head[:_MAX_HEADER].decode("utf-8", "replace"))
    fields = [found for line in _LINE_END.split(text) if (found := _FIELD.fullmatch(line)) is not None]
    return Header(tuple((each[1].lower(), each[2].strip()) for each in fields)), body


def _leaves(header: Header, body: bytes, depth: int) -> Iterator[Part]:
    kind, parameters = header.content_type
    boundary = parameters.get("boundary", "")
    if not kind.startswith("multipart/") or not boundary or len(boundary) > 200:
        yield Part(header, body)
        return
    if depth == 0:
        return
    for piece in _pieces(body, boundary):
        yield from _leaves(*_divided(piece), depth - 1)


def _pieces(body: bytes, boundary: str) -> Sequence[bytes]:
    """The parts of a multipart, without what stands before the first and behind the last (RFC 2046 §5.1.1)."""
    delimiter = re.compile(
        rb"(?:\A|\r?\n)--" + re.escape(boundary.encode("utf-8", "replace")) + rb"(--)?[ \t]*(?=\r?\n|\Z)"
    )
    pieces: list[bytes] = []
    start = None
    for found in delimiter.finditer(body):
        if start is not None:
            pieces.append(body[start : found.start()])
            if len(pieces) > MAX_PARTS:
                break
        start = None if found[1] else found.end() + (2 if body.startswith(b"\r\n", found.end()) else 1)
        if start is None:
            break
    if start is not None and start < len(body) and len(pieces) <= MAX_PARTS:
        pieces.append(body[start:])  # cut off on its way
    return pieces


def _with_parameters(written: str, default: str) -> tuple[str, Mapping[str, str]]:
    value, semicolon, rest = written[:_MAX_PARAMETERS].partition(";")
    kind = _COMMENT.sub("", value).strip().lower()
    found: dict[str, str] = {}
    for name, each in _PARAMETER.findall(semicolon + rest):
        quoted = each.startswith('"')
        plain = _ESCAPE.sub(r"\1", each.strip().strip('"')) if quoted else _COMMENT.sub("", each).strip()
        found.setdefault(name.lower(), plain)
    return kind or default, found


def _base64(body: bytes) -> bytes:
    # A mailing list may have put its footer behind the padding.
    digits = _NOT_BASE64.sub(b"", body.partition(b"=")[0])
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))
