"""Recipes: which request is mutated how, so that it can be made again, told, and shortened."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from tests.e2e.hostile import content_lines, heads, xml_texts, xml_trees
from tests.e2e.hostile.corpus import TEMPLATES
from tests.e2e.hostile.message import Message, Places

Mutation = Callable[[Message, Random], None]


def _on_tree(mutation: xml_trees.TreeMutation) -> Mutation:
    return lambda message, chance: xml_trees.mutate_tree(message, chance, mutation)


def _on_lines(mutation: content_lines.LineMutation) -> Mutation:
    return lambda message, chance: content_lines.mutate_lines(message, chance, mutation)


FAMILIES: dict[str, dict[str, Mutation]] = {
    "tree": {f"tree.{name}": _on_tree(each) for name, each in xml_trees.TREE.items()},
    "xml": {f"xml.{name}": each for name, each in xml_texts.TEXT.items()},
    "lines": {f"lines.{name}": _on_lines(each) for name, each in content_lines.LINES.items()},
    "text": {f"text.{name}": each for name, each in content_lines.TEXT.items()},
    "bytes": {"bytes.truncation": content_lines.truncation, "bytes.changes": content_lines.byte_changes},
    "head": {f"head.{name}": each for name, each in heads.HEAD.items()},
    "loose": {f"loose.{name}": each for name, each in heads.LOOSE.items()},
}
MUTATIONS = {name: each for family in FAMILIES.values() for name, each in family.items()}
_SUITABLE = {
    "xml": ("tree", "tree", "tree", "tree", "xml", "bytes", "head"),
    "calendar": ("lines", "lines", "lines", "lines", "text", "bytes", "head"),
    "card": ("lines", "lines", "lines", "lines", "text", "bytes", "head"),
    "none": ("head",),
}
"""Families for each kind of body, as often as they are chosen."""
FAMILY_NAMES = tuple(FAMILIES)
LOOSE_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Step:
    mutation: str
    seed: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """A template and what is done to it, in this order."""

    template: int
    steps: tuple[Step, ...]

    def message(self, places: Places) -> Message:
        """The request. The same recipe gives the same request to the same person."""
        made = _pristine(self.template, places.name, places).copy()
        for step in self.steps:
            MUTATIONS[step.mutation](made, Random(step.seed))
        if self.steps:
            made.target = places.fill(made.target)
            made.headers = [(name, places.fill(value)) for name, value in made.headers]
            made.body = places.fill(made.body) if len(made.body) < 20_000 else made.body
        return made

    def without(self, number: int) -> Recipe:
        """The recipe without one step."""
        return replace(self, steps=self.steps[:number] + self.steps[number + 1 :])

    def __str__(self) -> str:
        return f"{TEMPLATES[self.template].name} | " + ", ".join(f"{each.mutation}({each.seed})" for each in self.steps)


_made: dict[tuple[int, str], Message] = {}


def _pristine(template: int, _name: str, places: Places) -> Message:
    key = (template, places.name)
    found = _made.get(key)
    if found is None:
        found = _made[key] = TEMPLATES[template].message(places)
    return found


def recipe(chance: Random, templates: Sequence[int], families: frozenset[str], most: int) -> Recipe:
    """A recipe of one to `most` steps, of those of the families that suit the template; of others where none do."""
    template = chance.choice(templates)
    suitable = [each for each in _SUITABLE[TEMPLATES[template].media] if each in families]
    steps = []
    for _ in range(chance.randint(1, most)):
        family = chance.choice(suitable or _SUITABLE[TEMPLATES[template].media])
        steps.append(Step(chance.choice(_names(family)), chance.getrandbits(32)))
    # a method of its own tells little; and what is loose takes time, since nobody knows whether an answer comes
    if "loose" in families and chance.random() < LOOSE_SHARE:
        steps.append(Step(chance.choice(_names("loose")), chance.getrandbits(32)))
    return Recipe(template, tuple(steps))


@functools.cache
def _names(family: str) -> tuple[str, ...]:
    return tuple(FAMILIES[family])
