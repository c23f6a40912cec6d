"""REST: what scripts and the page ask of the server, as one documented application."""
