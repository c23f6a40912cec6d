"""Commands about one network, one policy or one exported result."""
