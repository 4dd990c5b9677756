"""Cards that several tests use, and strategies that make more of them."""

import re

from hypothesis import reject
from hypothesis import strategies as st

from server.calendar.contentline import content_lines
from server.domain.errors import InvalidCalendarData

RFC6352 = """BEGIN:VCARD\r
VERSION:3.0\r
FN:Cyrus Daboo\r
N:Daboo;Cyrus\r
ADR;TYPE=POSTAL:;2822 Email HQ;Suite 2821;RFCVille;PA;15213;USA\r
EMAIL;TYPE=INTERNET,PREF:cyrus@example.com\r
NICKNAME:me\r
NOTE:Example VCard.\r
ORG:Self Employed\r
TEL;TYPE=WORK,VOICE:412 605 0499\r
TEL;TYPE=FAX:412 605 0705\r
URL:http://www.example.com\r
UID:1234-5678-9000-1\r
END:VCARD\r
"""
"""RFC 6352 §6.3.2."""

APPLE = """BEGIN:VCARD
VERSION:3.0
N:Thompson;Default;;Dr.;
FN:Default Thompson
NICKNAME:Tom,Tommy\\, the
ORG:Apple Inc.;Contacts
EMAIL;type=INTERNET;type=WORK;type=pref:lthompson@example.com
EMAIL;type=INTERNET;type=HOME:tom@home.example
TEL;type=WORK;type=pref:1-555-555-5555
item1.ADR;type=WORK;type=pref:;;1245\\, Test;Sesame Street\\nOn
  The Hill;California;11111;USA
item1.X-ABADR:us
item2.URL;type=pref:http://www.example.com/~magic
item2.X-ABLabel:_$!<HomePage>!$_
PHOTO;BASE64:
  /9j/4AAQSkZJRgABAQAAAQABAAD/7QA8UGhvdG9zaG9wIDMuMAA4QklNBAQAAAAAAB8cAVoAAx
  sl RxwCAAACAAIcAhkAC1Bob3RvIEJvb3RoAP/iG6hJQ0NfUFJPRklMRQABAQAAG5hhcHBsAg==
UID:ED7A5AEC-AB19-4CE0-AD6A-2923A3E5C4E1:ABPerson
END:VCARD
"""

OLD_PHONE = """BEGIN:VCARD\r
VERSION:2.1\r
N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BCller;J=C3=BCrgen;;;\r
FN;CHARSET=ISO-8859-1;ENCODING=QUOTED-PRINTABLE:J=FCrgen =\r
M=FCller\r
TEL;CELL;PREF:+49 170 1234567\r
NOTE;ENCODING=QUOTED-PRINTABLE:first=0D=0A=\r
TEL:not a number\r
UID:old-1\r
END:VCARD\r
"""

GROUP = """BEGIN:VCARD
VERSION:3.0
X-ADDRESSBOOKSERVER-KIND:group
X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:FCBA0FA3-00B2-4C95-B4EC-4CCC4843F8B1
X-ADDRESSBOOKSERVER-MEMBER:user01@example.com
UID:760d9b28-5a13-4880-b7eb-5769e6600fa3
FN:Group
N:Group;;;;
END:VCARD
"""

NAMES = ("FN", "N", "EMAIL", "TEL", "NICKNAME", "NOTE", "item1.ADR", "X-A.TEL", ".FN", "nickname", "Org")
PARAMETERS = (
    "",
    ";TYPE=WORK",
    ';TYPE="work,home";X-A=b',
    ";PREF",
    ";ENCODING=QUOTED-PRINTABLE",
    ";TYPE=home;CHARSET=iso-8859-1;QUOTED-PRINTABLE",
    ';X-Q="a:b;c"',
    ";X-C=^'a^n^^",
)
_SOFT_LINE_BREAK = re.compile(r"=\r?\n")
_BLANK_FOLD = re.compile(r"\n[ \t]+\r?\n")
VALUES = st.text(st.sampled_from('aBé,;\\n=:. \t3CÄ"^-@'), max_size=30)


@st.composite
def lines(draw: st.DrawFn) -> str:
    """A content line with its end, folded anywhere."""
    line = draw(st.sampled_from(NAMES)) + draw(st.sampled_from(PARAMETERS)) + ":" + draw(VALUES)
    end = draw(st.sampled_from(("\n", "\r\n")))
    for place in sorted(draw(st.sets(st.integers(1, len(line)), max_size=2)), reverse=True):
        line = line[:place] + end + draw(st.sampled_from((" ", "\t"))) + line[place:]
    return line + end


@st.composite
def cards(draw: st.DrawFn) -> str:
    """A card that the write path accepts."""
    body = "".join(draw(st.lists(lines(), max_size=6)))
    end = draw(st.sampled_from(("\n", "\r\n")))
    version = draw(st.sampled_from(("2.1", "3.0", "4.0")))
    mark = draw(st.sampled_from(("", "\ufeff")))
    # A value ending in a soft line break goes on in the next line: the NOTE is there for that. What is folded after a
    # soft line break has no clear meaning and is refused; where that is nothing but spaces, the line counts as blank.
    card = f"{mark}BEGIN:VCARD{end}VERSION:{version}{end}UID:1{end}{body}NOTE:x{end}END:VCARD{end}"
    try:
        list(content_lines(card))
    except InvalidCalendarData:
        reject()
    if _SOFT_LINE_BREAK.search(card) and _BLANK_FOLD.search(card):
        reject()
    return card
