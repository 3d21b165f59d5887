"""The twenty categories: what they are called, made of and mistaken for, and where they are found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Category:
    """What the planner and the grammar know of a category.

    Parameters
    ----------
    names : words for this category and hardly any other; the first is the category's name
    shared : words that it shares with other categories
    hypernyms : words for its whole group
    parts : details that can be named; many belong to several categories
    doing : participles, shared within a group
    places : where it is usually found
    lookalikes : categories it can be mistaken for
    aloft : whether it is in the air rather than on the ground
    """

    names: tuple[str, ...]
    shared: tuple[str, ...]
    hypernyms: tuple[str, ...]
    parts: tuple[str, ...]
    doing: tuple[str, ...]
    places: tuple[str, ...]
    lookalikes: tuple[str, ...]
    aloft: bool = False


_VESSELS = ("vessel", "craft", "means of transport")
_BUILDINGS = ("building", "structure", "landmark")
_VEHICLES = ("vehicle", "machine", "means of transport")
_FLYERS = ("flying thing", "craft", "colourful object")
_PLANTS = ("growing thing", "woodland find", "colourful object")
_UTENSILS = ("household object", "utensil", "everyday item")

_AFLOAT = ("floating", "drifting", "gliding along", "lying still")
_BUILT = ("standing", "rising up", "towering", "seen from afar")
_PARKED = ("parked", "standing", "waiting", "passing")
_FLYING = ("flying", "floating", "drifting", "rising up")
_GROWN = ("growing", "standing", "seen close up", "leaning over")
_LEFT = ("standing", "left behind", "seen close up", "waiting")

CATEGORIES: dict[str, Category] = {
    "sailing boat": Category(
        names=("sailing boat", "sailboat", "yacht"),
        shared=("boat", "ship", "dinghy"),
        hypernyms=_VESSELS,
        parts=("a tall mast", "a three-cornered sail", "a wooden hull", "a small flag", "ropes"),
        doing=_AFLOAT,
        places=("sea", "beach"),
        lookalikes=("steamship", "canoe", "windmill"),
    ),
    "steamship": Category(
        names=("steamship", "ferry", "ocean liner"),
        shared=("boat", "ship", "steamer"),
        hypernyms=_VESSELS,
        parts=("a funnel", "a trail of smoke", "a long hull", "a row of windows", "an upper deck"),
        doing=_AFLOAT,
        places=("sea", "beach"),
        lookalikes=("sailing boat", "train", "canoe"),
    ),
    "canoe": Category(
        names=("canoe", "kayak", "rowing boat"),
        shared=("boat", "dinghy", "paddle boat"),
        hypernyms=_VESSELS,
        parts=("a paddle", "a wooden hull", "pointed ends", "someone sitting in it", "a seat"),
        doing=_AFLOAT,
        places=("sea", "beach", "forest"),
        lookalikes=("sailing boat", "steamship"),
    ),
    "lighthouse": Category(
        names=("lighthouse", "sea light", "beacon"),
        shared=("tower", "light", "tall tower"),
        hypernyms=_BUILDINGS,
        parts=("coloured stripes", "a lantern", "a small balcony", "tapering walls", "a little door"),
        doing=_BUILT,
        places=("sea", "beach", "hills"),
        lookalikes=("windmill", "church", "table lamp"),
    ),
    "windmill": Category(
        names=("windmill", "mill", "corn mill"),
        shared=("tower", "old house", "tall tower"),
        hypernyms=_BUILDINGS,
        parts=("four blades", "wooden sails", "a rounded cap", "tapering walls", "a little door"),
        doing=_BUILT,
        places=("field", "hills", "beach"),
        lookalikes=("lighthouse", "church", "flower"),
    ),
    "church": Category(
        names=("church", "chapel", "parish church"),
        shared=("tower", "old house", "monument"),
        hypernyms=_BUILDINGS,
        parts=("a steeple", "a pointed roof", "arched windows", "a cross", "an arched gate"),
        doing=_BUILT,
        places=("town", "hills", "field"),
        lookalikes=("castle", "lighthouse", "windmill"),
    ),
    "castle": Category(
        names=("castle", "fortress", "fort"),
        shared=("tower", "ruin", "monument"),
        hypernyms=_BUILDINGS,
        parts=("battlements", "thick walls", "an arched gate", "a small flag", "narrow windows"),
        doing=_BUILT,
        places=("hills", "field", "beach"),
        lookalikes=("church", "lighthouse"),
    ),
    "bicycle": Category(
        names=("bicycle", "bike", "push-bike"),
        shared=("set of wheels", "ride", "cycle"),
        hypernyms=_VEHICLES,
        parts=("two wheels", "a saddle", "handlebars", "a thin frame", "a basket"),
        doing=_PARKED,
        places=("town", "field", "beach"),
        lookalikes=("car", "train"),
    ),
    "car": Category(
        names=("car", "automobile", "motor car"),
        shared=("set of wheels", "ride", "motor"),
        hypernyms=_VEHICLES,
        parts=("two wheels", "a windscreen", "headlights", "a curved roof", "rubber tyres"),
        doing=_PARKED,
        places=("town", "field", "beach"),
        lookalikes=("bus", "train"),
    ),
    "bus": Category(
        names=("bus", "omnibus", "double-decker"),
        shared=("coach", "ride", "motor"),
        hypernyms=_VEHICLES,
        parts=("a row of windows", "an upper deck", "a flat roof", "rubber tyres", "a long body"),
        doing=_PARKED,
        places=("town", "hills"),
        lookalikes=("train", "car"),
    ),
    "train": Category(
        names=("train", "locomotive", "railway engine"),
        shared=("coach", "steamer", "engine"),
        hypernyms=_VEHICLES,
        parts=("a chimney", "a trail of smoke", "a row of windows", "many wheels", "a long body"),
        doing=_PARKED,
        places=("field", "town", "hills"),
        lookalikes=("bus", "steamship", "car"),
    ),
    "aeroplane": Category(
        names=("aeroplane", "plane", "airliner"),
        shared=("flyer", "jet", "aircraft"),
        hypernyms=_FLYERS,
        parts=("two wings", "a tail fin", "a pointed nose", "a row of windows", "an engine"),
        doing=_FLYING,
        places=("hills", "field", "sea"),
        lookalikes=("kite", "hot-air balloon"),
        aloft=True,
    ),
    "hot-air balloon": Category(
        names=("hot-air balloon", "balloon", "gas balloon"),
        shared=("flyer", "globe", "aircraft"),
        hypernyms=_FLYERS,
        parts=("a basket", "coloured stripes", "a round body", "ropes", "a narrow neck"),
        doing=_FLYING,
        places=("hills", "field", "town"),
        lookalikes=("kite", "aeroplane", "umbrella"),
        aloft=True,
    ),
    "kite": Category(
        names=("kite", "paper kite", "stunt kite"),
        shared=("flyer", "toy", "diamond"),
        hypernyms=_FLYERS,
        parts=("a long tail", "ropes", "four corners", "ribbons", "a thin frame"),
        doing=_FLYING,
        places=("beach", "field", "hills"),
        lookalikes=("hot-air balloon", "aeroplane", "flower"),
        aloft=True,
    ),
    "umbrella": Category(
        names=("umbrella", "parasol", "sunshade"),
        shared=("canopy", "shade", "brolly"),
        hypernyms=_UTENSILS,
        parts=("a curved handle", "coloured stripes", "a rounded cap", "a pointed tip", "ribs"),
        doing=_LEFT,
        places=("beach", "town", "room"),
        lookalikes=("mushroom", "table lamp", "hot-air balloon"),
    ),
    "mushroom": Category(
        names=("mushroom", "toadstool", "wild mushroom"),
        shared=("canopy", "cap", "wild plant"),
        hypernyms=_PLANTS,
        parts=("a rounded cap", "pale spots", "a thick stalk", "gills", "a curved roof"),
        doing=_GROWN,
        places=("forest", "field"),
        lookalikes=("umbrella", "flower", "table lamp"),
    ),
    "flower": Category(
        names=("flower", "blossom", "daisy"),
        shared=("bloom", "cap", "wild plant"),
        hypernyms=_PLANTS,
        parts=("petals", "a thin stalk", "two leaves", "a round middle", "pale spots"),
        doing=_GROWN,
        places=("field", "forest", "room"),
        lookalikes=("mushroom", "windmill", "kite"),
    ),
    "table lamp": Category(
        names=("table lamp", "desk lamp", "reading lamp"),
        shared=("lamp", "light", "shade"),
        hypernyms=_UTENSILS,
        parts=("a lantern", "a round foot", "a thin stalk", "a warm glow", "a narrow neck"),
        doing=_LEFT,
        places=("room", "town"),
        lookalikes=("umbrella", "mushroom", "lighthouse"),
    ),
    "teapot": Category(
        names=("teapot", "kettle", "coffee pot"),
        shared=("pot", "jug", "piece of crockery"),
        hypernyms=_UTENSILS,
        parts=("a spout", "a lid", "a curved handle", "a round body", "a wisp of steam"),
        doing=_LEFT,
        places=("room", "field"),
        lookalikes=("mug", "table lamp"),
    ),
    "mug": Category(
        names=("mug", "teacup", "beaker"),
        shared=("pot", "cup", "piece of crockery"),
        hypernyms=_UTENSILS,
        parts=("a curved handle", "a wide rim", "a wisp of steam", "coloured stripes", "a flat foot"),
        doing=_LEFT,
        places=("room", "forest"),
        lookalikes=("teapot", "table lamp"),
    ),
}
"""What is known of every category, in the order of the labels."""
