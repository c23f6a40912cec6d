"""The driver of a study: its state, live and replayed from the ledger; runners only execute."""
