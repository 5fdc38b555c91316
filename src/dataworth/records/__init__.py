"""The nouns every room shares: frozen, and able to check, save and show themselves."""

from dataworth.records.attributions import Attributions
from dataworth.records.evidence import Evidence, Exhibit, Links, Table
from dataworth.records.items import Items
from dataworth.records.points import Points
from dataworth.records.privacy import Budget, Guarantee, Owner, Relation, Row, Unit
from dataworth.records.release import Answer, Release
from dataworth.records.values import Values

__all__ = [
    "Answer",
    "Attributions",
    "Budget",
    "Evidence",
    "Exhibit",
    "Guarantee",
    "Items",
    "Links",
    "Owner",
    "Points",
    "Relation",
    "Release",
    "Row",
    "Table",
    "Unit",
    "Values",
]
