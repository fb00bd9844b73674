"""The `datumrl` command: thin subcommands that wire the other folders together."""
