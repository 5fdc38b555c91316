"""The nouns every room shares: frozen, and able to check, save and show themselves."""

from dataworth.records.attributions import Attributions
from dataworth.records.coalitions import Coalitions
from dataworth.records.evidence import Evidence, Exhibit, Links, Table
from dataworth.records.items import Items
from dataworth.records.packages import Fidelity, Package
from dataworth.records.points import Points
from dataworth.records.privacy import Budget, Guarantee, Owner, Relation, Row, Unit
from dataworth.records.release import Answer, Release
from dataworth.records.shares import Shares
from dataworth.records.values import Values

__all__ = [
    "Answer",
    "Attributions",
    "Budget",
    "Coalitions",
    "Evidence",
    "Exhibit",
    "Fidelity",
    "Guarantee",
    "Items",
    "Links",
    "Owner",
    "Package",
    "Points",
    "Relation",
    "Release",
    "Row",
    "Shares",
    "Table",
    "Unit",
    "Values",
]
