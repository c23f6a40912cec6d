"""The ledger: one SQLite file per study that holds what happened, and nothing that did not."""

from autodepth.records.ledger.ledger import Ledger

__all__ = ["Ledger"]
