"""Reading supervisor's configurations: ``bootseal adopt`` makes a manifest of one, ``programs.from`` takes programs from one.

ini: the file and what it includes, by supervisor's own parser. expansion: ``%(name)s``. processes: which processes supervisord
would make of it. conversion: what a manifest says instead, and what it cannot say. writing: the manifest, with comments. imported:
the programs, into another manifest. Nothing is executed, and nothing is read but what is named.
"""
