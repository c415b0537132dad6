"""The classes that the detector tells apart."""

HORSE_STANDING, HORSE_LYING, PERSON = 0, 1, 2
BETWEEN = 3
"""A horse that lies down or rises: no class of the detector; either posture is right."""

NAMES = {HORSE_STANDING: "horse_standing", HORSE_LYING: "horse_lying", PERSON: "person"}
_HORSE = (HORSE_STANDING, HORSE_LYING, BETWEEN)
KINDS = {HORSE_STANDING: _HORSE, HORSE_LYING: _HORSE, PERSON: (PERSON,)}
"""Labels of the same kind of being, by class."""
