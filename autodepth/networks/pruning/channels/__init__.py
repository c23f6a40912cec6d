"""Which channels can only go together: followed through a traced graph, each step tried."""
