"""People are told when it matters: what happens in a study goes to webhooks, mail or chat."""
