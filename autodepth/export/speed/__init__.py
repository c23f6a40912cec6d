"""How fast an exported network is here, and what energy it takes."""
