"""The web explorer: a server that reads ledgers, and the page it gives out. It changes nothing."""
