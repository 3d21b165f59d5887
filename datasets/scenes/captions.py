"""Scenes as captions: two or three English sentences that name, miss or mistake what the picture shows."""

from __future__ import annotations

from typing import TypeVar

from cmbench.datasets.scenes.categories import CATEGORIES, Category
from cmbench.datasets.scenes.plans import COLOURS, DIFFICULTY, PLACES, Chance, Scene, Thing

Value = TypeVar("Value")

COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "red": ("red", "crimson", "scarlet"),
    "orange": ("orange", "amber", "rust-coloured"),
    "yellow": ("yellow", "golden", "lemon-coloured"),
    "green": ("green", "emerald", "bottle-green"),
    "blue": ("blue", "navy", "azure"),
    "purple": ("purple", "violet", "lilac"),
    "brown": ("brown", "chestnut", "rust-coloured"),
    "white": ("white", "pale", "cream-coloured"),
    "grey": ("grey", "silvery", "pale"),
}
COUNT_WORDS = {
    1: ("a", "one", "a single"),
    2: ("two", "a pair of", "a couple of"),
    3: ("three", "several", "a few"),
}
SIZE_WORDS = ("big", "large", "little", "small")
LARGE = 0.7  # half the width of a subject, where the picture's is 1: from here on it is called big
PLACE_WORDS: dict[str, tuple[str, ...]] = {
    "sea": ("on the open sea", "among the waves", "out on the water", "off the coast"),
    "beach": ("on the beach", "on the sand", "by the water", "at the coast"),
    "field": ("in a field", "in the open country", "on a farm", "among the furrows"),
    "hills": ("among green hills", "on a hillside", "in the open country", "in a valley"),
    "forest": ("in the woods", "between the trees", "in a forest", "under the trees"),
    "town": ("in the town", "on a street", "in front of the houses", "downtown"),
    "room": ("indoors", "in a room", "in the house", "on the wooden floor"),
}
LIGHT_WORDS: dict[str, tuple[str, ...]] = {
    "bright": ("It is a bright day", "The sun is out", "The light is clear"),
    "overcast": ("It is a dull day", "The light is flat", "It looks grey and cool"),
    "evening": ("It is early evening", "The light is warm and low", "Everything has an orange glow"),
    "night": ("It is night", "It is almost dark", "Hardly any light is left"),
    "fog": ("It is foggy", "A mist hangs over everything", "The view is hazy and pale"),
}
EXTRA_WORDS: dict[str, tuple[str, ...]] = {
    "tree": ("a tree", "a leafy tree"),
    "fir": ("a fir", "a tree", "an evergreen"),
    "bush": ("a bush", "some shrubs"),
    "rock": ("a rock", "a boulder", "some stones"),
    "fence": ("a fence", "some railings"),
    "pole": ("a post", "a pole"),
    "house": ("a house", "a cottage", "a building"),
    "ball": ("a ball", "a toy"),
    "crate": ("a crate", "a wooden box"),
    "book": ("a book", "something to read"),
    "picture": ("a picture on the wall", "a picture frame"),
    "cloud": ("a cloud", "a white cloud"),
    "sun": ("the sun", "a round disc in the sky"),
    "bird": ("a bird", "a gull"),
}
VAGUE_NOUNS = ("something", "a thing of some kind", "the main subject", "an object")
OPENINGS = ("{}.", "{}.", "A picture of {}.", "This shows {}.", "We see {}.", "A view of {}.")


def describe(scene: Scene, chance: Chance) -> str:
    """Return a caption of two or three sentences in random order."""
    believed = scene.category
    if chance.happens(DIFFICULTY.mistaken):
        believed = chance.one_of(CATEGORIES[believed].lookalikes)
    details = [
        sentence
        for sentence, probability in (
            (_parts(len(scene.subjects), CATEGORIES[believed], chance), DIFFICULTY.mentions_part),
            (_surroundings(scene, chance), DIFFICULTY.mentions_extras),
            (_light(scene, chance), DIFFICULTY.mentions_light),
        )
        if sentence and chance.happens(probability)
    ]
    chosen = chance.some_of(details, 2) or [_light(scene, chance)]
    sentences = [_subject(scene, CATEGORIES[believed], chance), *chosen]
    return " ".join(chance.some_of(sentences, len(sentences)))


def _subject(scene: Scene, category: Category, chance: Chance) -> str:
    phrase = _noun_phrase(scene.subjects, category, chance)
    phrase = f"{phrase} {chance.one_of(category.doing)}"
    if chance.happens(DIFFICULTY.mentions_place):
        place = _seen(scene.place, PLACES, chance)
        phrase = f"{phrase} {chance.one_of(PLACE_WORDS[place])}"
    return _capitalised(chance.one_of(OPENINGS).format(phrase))


def _noun_phrase(subjects: tuple[Thing, ...], category: Category, chance: Chance) -> str:
    noun = _noun(category, chance)
    if not noun:
        return chance.one_of(VAGUE_NOUNS)
    count = _seen(len(subjects), (1, 2, 3), chance)
    words = [chance.one_of(COUNT_WORDS[count])]
    if chance.happens(DIFFICULTY.mentions_size):
        words.append(chance.one_of(SIZE_WORDS[:2] if subjects[0].size >= LARGE else SIZE_WORDS[2:]))
    if chance.happens(DIFFICULTY.mentions_colour):
        words.append(chance.one_of(COLOUR_WORDS[_seen(subjects[0].colour, COLOURS, chance)]))
    words.append(noun if count == 1 else _plural(noun))
    return _with_article(words)


def _noun(category: Category, chance: Chance) -> str:
    """Return a noun for the category, or nothing where the caption does not name its subject."""
    own, shared, group = DIFFICULTY.own_name, DIFFICULTY.shared_name, DIFFICULTY.group_name
    kinds = {
        category.names: own,
        category.shared: shared,
        category.hypernyms: group,
        ("",): 1 - own - shared - group,
    }
    nouns = chance.weighted(kinds)
    return chance.one_of(nouns)


def _parts(count: int, category: Category, chance: Chance) -> str:
    owner = category
    if chance.happens(DIFFICULTY.wrong_part):
        owner = CATEGORIES[chance.one_of(category.lookalikes)]
    parts = " and ".join(chance.some_of(owner.parts, chance.one_of((1, 2, 2))))
    noun = _noun(category, chance)
    if noun and chance.happens(DIFFICULTY.names_again):
        return f"The {noun} has {parts}."
    owning = "It has" if count == 1 else "Each has"
    return f"{chance.one_of((owning, 'You can make out', 'Note', 'One recognises'))} {parts}."


def _surroundings(scene: Scene, chance: Chance) -> str:
    things = [chance.one_of(EXTRA_WORDS[thing.kind]) for thing in scene.extras]
    if scene.screen is not None:
        things.append(chance.one_of(EXTRA_WORDS[scene.screen.kind]))
    if scene.intruder is not None and chance.happens(DIFFICULTY.mentions_intruder):
        intruder = CATEGORIES[scene.intruder.kind]
        things.append(_with_article(["a", chance.one_of(intruder.names + intruder.shared)]))
    if not things:
        return ""
    listed = " and ".join(dict.fromkeys(chance.some_of(things, 2)))
    return _capitalised(chance.one_of(("Nearby: {}.", "{} can be seen too.", "Also {}.")).format(listed))


def _light(scene: Scene, chance: Chance) -> str:
    return f"{chance.one_of(LIGHT_WORDS[_seen(scene.light, tuple(LIGHT_WORDS), chance)])}."


def _seen(truth: Value, all_values: tuple[Value, ...], chance: Chance) -> Value:
    return chance.one_of(all_values) if chance.happens(DIFFICULTY.wrong_attribute) else truth


def _with_article(words: list[str]) -> str:
    """Join the words of a noun phrase, with 'an' before a vowel."""
    if words[0] == "a" and words[1][0] in "aeiou":
        words = ["an", *words[1:]]
    return " ".join(words)


def _plural(noun: str) -> str:
    """Return the plural of a noun; of 'set of wheels' and the like, the plural of its head.

    >>> [_plural(noun) for noun in ("bus", "ferry", "set of wheels", "toy", "aircraft")]
    ['buses', 'ferries', 'sets of wheels', 'toys', 'aircraft']
    """
    head, of, rest = noun.partition(" of ")
    if head.endswith("craft"):
        return noun
    if head.endswith(("s", "x", "ch", "sh")):
        head += "es"
    elif head.endswith("y") and head[-2] not in "aeiou":
        head = head[:-1] + "ies"
    else:
        head += "s"
    return head + of + rest


def _capitalised(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
