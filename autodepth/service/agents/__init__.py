"""What an agent may ask of autodepth: the same commands, over the Model Context Protocol."""
