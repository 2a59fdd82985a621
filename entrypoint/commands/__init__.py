"""The commands of the command line, one a module; each is imported only when it runs."""
