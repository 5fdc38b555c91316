"""The ledger: what may be spent, what was spent, and refusal.

* ``charges``: the nouns, such as a charge, an answer, what remains
* ``admission``: what a charge costs and whether it fits, in whole numbers
* ``chain``: hashes over every column; ``verification`` reads them all again
* ``schema``: the tables; ``migrations`` makes them; ``statements`` is what is asked of them
* ``store``: SQLite or PostgreSQL, with transactions, and errors in plain words
* ``ledger``: the ledger itself
"""

from dataworth.privacy.ledger.charges import Charge, Composition, Preview, Remaining, Stored, Verification
from dataworth.privacy.ledger.ledger import Ledger

__all__ = ["Charge", "Composition", "Ledger", "Preview", "Remaining", "Stored", "Verification"]
