"""Floor 3: the `dynseg` command."""
