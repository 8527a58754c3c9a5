"""The command ``minisnn``: everything that parses options, prints and picks exit codes."""
