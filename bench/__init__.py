"""What the refresh costs, measured against what PostgreSQL can take: ``python -m bench``, or ``make bench``.

``measures`` has one module per measure. ``server`` lends them databases and runs the programs on them, ``former``
makes the same rows as plain tables, ``figures`` and ``table`` know no database.
"""
