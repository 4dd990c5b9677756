"""Nothing but change sets writes members, except what is listed here with its reason."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import server
import storage_plugins

TABLES = ("object", "occurrence", "alarm", "object_view", "trash")
WRITES = re.compile(rf"\b(?:insert\s+into|update|delete\s+from)\s+({'|'.join(TABLES)})\b", re.IGNORECASE)
COMMENT = re.compile(r"--.*")

APPLY = {
    "koyomi_add_properties_1",
    "koyomi_apply_1",
    "koyomi_apply_copies_1",
    "koyomi_apply_properties_1",
    "koyomi_copy_members_1",
    "koyomi_copy_objects_1",
    "koyomi_copy_parts_1",
    "koyomi_delete_object_2",
    "koyomi_put_object_4",
    "koyomi_make_plain_1",
    "koyomi_release_1",
    "koyomi_reserve_1",
    "koyomi_reserve_free_1",
    "koyomi_release_roles_1",
    "koyomi_release_uids_1",
    "koyomi_set_object_properties_2",
    "koyomi_store_occurrences_1",
    "koyomi_store_views_1",
    "koyomi_transfer_object_5",
}
"""Functions of `Storage.apply`, and those that these call."""
OTHERS = {
    "koyomi_derived_role_1": "derives scheduling roles anew; no revision moves",
    "koyomi_drop_copy_1": "removes what was copied of a collection by a copy that is given up; nothing shows it",
    "koyomi_remove_copies_1": "forgets the personal copies of a person who is removed",
    "koyomi_render_2": "renders objects of a calendar that is shared for the first time; they keep their revisions",
    "koyomi_store_view_alarms_1": "derives alarms of personal copies from before they were rows",
}
MODULES = {
    "changes/handover_copies.py": "hands collections over; for a while members are in two homes under one id",
    "changes/views.py": "forgets personal copies of those who have not seen the calendar for long",
    "upkeep/next_alarms.py": "moves alarms on to their next ring; no revision moves",
    "upkeep/occurrence_jobs.py": "derives occurrences, alarms and busy types anew; no revision moves",
    "upkeep/pruning.py": "forgets what was deleted long ago",
    "upkeep/rederivation.py": "marks objects to be derived anew; no revision moves",
}


async def test_functions_that_write_members_belong_to_change_sets_or_have_a_reason(storage):
    rows = await storage.database.fetch(
        "select proname, prosrc from pg_proc where pronamespace = 'public'::regnamespace"
    )
    writers = {name for name, source in rows if WRITES.search(COMMENT.sub("", source))}
    assert writers == APPLY | OTHERS.keys()


def texts(path: Path) -> list[str]:
    """The texts of a module, but for docstrings; of an f-string the constant parts, joined."""
    tree = ast.parse(path.read_text("utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else " x " for part in node.values]
            found.append("".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            found.append(node.value)
    return found


def test_modules_that_write_members_beside_the_functions_have_a_reason():
    plugin = Path(storage_plugins.__path__[0]) / "postgres"
    writers = set()
    for package in (Path(server.__path__[0]), plugin):
        for path in package.rglob("*.py"):
            if any(WRITES.search(COMMENT.sub("", text)) for text in texts(path)):
                writers.add(str(path.relative_to(plugin) if path.is_relative_to(plugin) else path))
    assert writers == MODULES.keys()
