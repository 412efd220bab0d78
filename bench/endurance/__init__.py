"""What a refresh does under load, beside limits: ``python -m bench.endurance``, or ``make endurance``.

One module per part: ``once`` (very many assets), ``nights`` (very many of them), ``loop`` (whether anything leaks) and
``races`` (two refreshes at once). ``vendor`` makes up what happens to prices, ``watching`` looks at what runs and
``traces`` at what is left, ``tables`` says how large tables are and what is in them.
"""
