"""Mutations of the trees of XML bodies, whose shapes the schemas of WebDAV and its relatives give."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from xml.parsers import expat

from tests.e2e.hostile.message import Message


class Node:
    """An element with names as they are written; nothing checks that they could be."""

    __slots__ = ("attributes", "children", "name")

    def __init__(self, name: str, attributes: list[tuple[str, str]]) -> None:
        self.name = name
        self.attributes = attributes
        self.children: list[Node | str] = []

    def write(self) -> str:
        start = self.name + "".join(f' {name}="{_escaped(value)}"' for name, value in self.attributes)
        if not self.children:
            return f"<{start}/>"
        inner = "".join(_escaped(each) if isinstance(each, str) else each.write() for each in self.children)
        return f"<{start}>{inner}</{self.name}>"

    def every(self) -> list[Node]:
        """The element and all below it."""
        found = [self]
        for each in found:
            found.extend(child for child in each.children if isinstance(child, Node))
        return found

    def copy(self) -> Node:
        made = Node(self.name, list(self.attributes))
        made.children = [each if isinstance(each, str) else each.copy() for each in self.children]
        return made


_LARGE = 100_000
_DEEP = 100


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def read(body: bytes) -> Node | None:
    """The tree of a body; None for one that is broken already, or as large or deep as it may become."""
    if len(body) > _LARGE:
        return None
    parser = expat.ParserCreate()
    parser.ordered_attributes = True
    parser.buffer_text = True
    top = Node("", [])
    path = [top]
    deepest = 0

    def start(name: str, flat: list[str]) -> None:
        nonlocal deepest
        deepest = max(deepest, len(path))
        made = Node(name, list(zip(flat[::2], flat[1::2], strict=True)))
        path[-1].children.append(made)
        path.append(made)

    def end(_name: str) -> None:
        path.pop()

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = lambda text: path[-1].children.append(text)
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError):
        return None
    (root,) = top.children
    assert isinstance(root, Node)
    return root if deepest <= _DEEP else None


NAMES = [
    "D:prop",
    "D:allprop",
    "D:propname",
    "D:include",
    "D:href",
    "D:getetag",
    "D:displayname",
    "D:resourcetype",
    "D:collection",
    "D:set",
    "D:remove",
    "D:acl",
    "D:ace",
    "D:grant",
    "D:deny",
    "D:principal",
    "D:privilege",
    "D:all",
    "D:self",
    "D:property",
    "D:match",
    "D:property-search",
    "D:sync-token",
    "D:sync-level",
    "D:limit",
    "D:nresults",
    "D:read",
    "D:write",
    "D:owner",
    "D:group-member-set",
    "D:unauthenticated",
    "D:invert",
    "D:protected",
    "D:inherited",
    "D:current-user-principal",
    "D:supported-privilege-set",
    "D:expand-property",
    "D:sync-collection",
    "D:propertyupdate",
    "D:propfind",
    "C:filter",
    "C:comp-filter",
    "C:prop-filter",
    "C:param-filter",
    "C:text-match",
    "C:time-range",
    "C:is-not-defined",
    "C:timezone",
    "C:calendar-data",
    "C:comp",
    "C:prop",
    "C:allcomp",
    "C:allprop",
    "C:expand",
    "C:limit-recurrence-set",
    "C:limit-freebusy-set",
    "C:calendar-query",
    "C:calendar-multiget",
    "C:free-busy-query",
    "C:mkcalendar",
    "C:calendar",
    "C:supported-calendar-component-set",
    "C:calendar-timezone",
    "C:calendar-description",
    "C:schedule-calendar-transp",
    "C:calendar-availability",
    "C:calendar-timezone-id",
    "A:filter",
    "A:prop-filter",
    "A:param-filter",
    "A:text-match",
    "A:address-data",
    "A:prop",
    "A:limit",
    "A:nresults",
    "A:addressbook-query",
    "A:addressbook-multiget",
    "A:addressbook",
    "S:getctag",
    "S:source",
    "I:calendar-color",
    "I:calendar-order",
    "X:unknown",
    "unknown",
    "xml:space",
]
ATTRIBUTES = [
    "name",
    "start",
    "end",
    "collation",
    "match-type",
    "negate-condition",
    "test",
    "content-type",
    "version",
    "novalue",
    "namespace",
    "xml:lang",
    "xml:space",
    "xmlns",
    "xmlns:D",
    "xmlns:C",
    "xmlns:xml",
    "xmlns:xmlns",
    "D:name",
    "symbolic-color",
    "xml:id",
    "xml:base",
]
URIS = (
    "DAV:", "dav:", "urn:ietf:params:xml:ns:caldav", "urn:ietf:params:xml:ns:carddav", "http://calendarserver.org/ns/",
    "", " ", "DAV", "http://[", "relative", "http://www.w3.org/XML/1998/namespace", "http://www.w3.org/2000/xmlns/",
    "urn:" + "n" * 3000, "{}", "{DAV:}prop", "ÄÖ",
)  # fmt: skip
TEXTS = (
    "", " ", "\n\t", "0", "-1", "1", "3", "infinite", "infinity", "NaN", "1e309", "99999999999999999999999", "0x10",
    "١٢",
    "T", "yes", "no", "true", "allof", "anyof", "equals", "starts-with", "i;octet", "i;ascii-casemap",
    "i;unicode-casemap", "i;nothing", "20260101T000000Z", "20260101T000000", "20260101", "00010101T000000Z",
    "99991231T235959Z", "99999999T999999Z", "20260230T000000Z", "20260101T000000+0100", "P1D", "VCALENDAR", "VEVENT",
    "VTODO", "VALARM", "vevent", "VTIMEZONE", "X-ODD", "SUMMARY", "ATTENDEE", "UID", "DTSTART", "RRULE", "FN", "N",
    "TEL",
    "text/calendar", "text/vcard", "application/calendar+json", "2.0", "4.0", "/", "//", "/../..", "/calendars/",
    "/%00",
    "/%ff", "/calendars/users/victim/calendar/secret.ics", "/calendars/__uids__/x/y/z", "http://[", "mailto:a@b",
    "http://127.0.0.1:1/x",
    "http://user:pw@127.0.0.1/calendars/", "urn:uuid:x", "#FF0000FF", "#GG", "' or 1=1 --", "%s%n", "\\", "]]>",
    "<![CDATA[",
    "𝒳" * 50, "\u202e\u0085\u2028", "\ufffe",
    "e\u0301" * 40, "a" * 300, "ß" * 2000, "%" * 1001, "(" * 500, "\ufdfa" * 400,
    "koyomi-sync:h-1-1-1", "BEGIN:VCALENDAR", "BEGIN:VCALENDAR\r\nEND:VCALENDAR", "{DAV:}all",
    "{victim_calendar}secret.ics",
)  # fmt: skip
TreeMutation = Callable[[Node, Random], "Node | None"]


def _parent(root: Node, chance: Random) -> Node:
    """An element with children."""
    return chance.choice([each for each in root.every() if each.children] or [root])


def rename(root: Node, chance: Random) -> None:
    chance.choice(root.every()).name = chance.choice(NAMES)


def misname(root: Node, chance: Random) -> None:
    """A name that is none, is without its prefix, or has no end."""
    node = chance.choice(root.every())
    local = node.name.rpartition(":")[2]
    odd = (
        local,
        f"Z:{local}",
        f"{node.name}:x",
        "1x",
        "",
        "a b",
        "x" * chance.choice((300, 60_000)),
        "ä",
        local.upper(),
        "-",
        "D:",
    )
    node.name = chance.choice(odd)


def other_namespace(root: Node, chance: Random) -> None:
    node = chance.choice(root.every())
    declared = [n for n, (name, _) in enumerate(node.attributes) if name.startswith("xmlns")]
    if declared:
        at = chance.choice(declared)
        node.attributes[at] = (node.attributes[at][0], chance.choice(URIS))
    else:
        node.attributes.append(
            (chance.choice(("xmlns", "xmlns:D", "xmlns:C", "xmlns:A", "xmlns:")), chance.choice(URIS))
        )


def drop_attribute(root: Node, chance: Random) -> None:
    holders = [each for each in root.every() if each.attributes] or [root]
    node = chance.choice(holders)
    if node.attributes:
        del node.attributes[chance.randrange(len(node.attributes))]


def double_attribute(root: Node, chance: Random) -> None:
    node = chance.choice(root.every())
    node.attributes += node.attributes[:1]


def change_attribute(root: Node, chance: Random) -> None:
    node = chance.choice([each for each in root.every() if each.attributes] or [root])
    if node.attributes:
        at = chance.randrange(len(node.attributes))
        node.attributes[at] = (node.attributes[at][0], chance.choice(TEXTS))


def add_attributes(root: Node, chance: Random) -> None:
    node = chance.choice(root.every())
    node.attributes.append((chance.choice(ATTRIBUTES), chance.choice(TEXTS)))
    if chance.random() < 0.05:
        node.attributes += [(f"a{number}", "1") for number in range(chance.choice((50, 2000)))]


def drop_child(root: Node, chance: Random) -> None:
    node = _parent(root, chance)
    if node.children:
        del node.children[chance.randrange(len(node.children))]


def empty(root: Node, chance: Random) -> None:
    _parent(root, chance).children.clear()


def repeat_child(root: Node, chance: Random) -> None:
    node = _parent(root, chance)
    if node.children:
        at = chance.randrange(len(node.children))
        times = chance.choice((1, 1, 1, 1, 2, 2, 3, 5, 20, 120))
        node.children[at:at] = [node.children[at]] * times


def very_many_children(root: Node, chance: Random) -> None:
    node = _parent(root, chance)
    name = chance.choice(("D:href", "X:p{}", "C:prop", "D:ace", "D:property", "C:comp-filter", "D:getetag"))
    node.children += [Node(name.format(number), []) for number in range(3000 if chance.random() < 0.1 else 300)]


def swap_children(root: Node, chance: Random) -> None:
    chance.shuffle(_parent(root, chance).children)


def move_child(root: Node, chance: Random) -> None:
    every = root.every()
    node = chance.choice(every)
    chance.choice(every).children.append(node.copy())


def replace_text(root: Node, chance: Random) -> None:
    holders = [each for each in root.every() if not any(isinstance(child, Node) for child in each.children)] or [root]
    chance.choice(holders).children[:] = [chance.choice(TEXTS)]


def mix_text(root: Node, chance: Random) -> None:
    node = chance.choice(root.every())
    node.children.insert(chance.randint(0, len(node.children)), chance.choice(TEXTS))


def add_child(root: Node, chance: Random) -> None:
    node = chance.choice(root.every())
    made = Node(chance.choice(NAMES), [])
    if chance.random() < 0.5:
        made.children.append(chance.choice(TEXTS))
    if chance.random() < 0.3:
        made.attributes.append((chance.choice(ATTRIBUTES), chance.choice(TEXTS)))
    node.children.insert(chance.randint(0, len(node.children)), made)


def wrap(root: Node, chance: Random) -> Node:
    """A new root around the old one, or the old one is put out for one of its elements."""
    if chance.random() < 0.5:
        inner = chance.choice(root.every()).copy()
        inner.attributes += [each for each in root.attributes if each[0].startswith("xmlns")]
        return inner
    outer = Node(chance.choice(NAMES), [each for each in root.attributes if each[0].startswith("xmlns")])
    outer.children.append(root)
    return outer


def nest(root: Node, chance: Random) -> None:
    """An element in itself, again and again."""
    node = _parent(root, chance)
    inner, node.children = node.children, []
    for _ in range(chance.choice((1, 2, 5, 30, 100, 245))):
        child = Node(node.name, [each for each in node.attributes if not each[0].startswith("xmlns")])
        node.children.append(child)
        node = child
    node.children = inner


TREE: dict[str, TreeMutation] = {
    each.__name__: each
    for each in (
        rename, misname, other_namespace, drop_attribute, double_attribute, change_attribute, add_attributes,
        drop_child, empty, repeat_child, very_many_children, swap_children, move_child, replace_text, mix_text,
        add_child, wrap, nest,
    )
}  # fmt: skip


def mutate_tree(message: Message, chance: Random, mutation: TreeMutation) -> None:
    root = read(message.body)
    if root is not None:
        root = mutation(root, chance) or root
        message.body = b'<?xml version="1.0" encoding="utf-8"?>\n' + root.write().encode("utf-8", "surrogatepass")
