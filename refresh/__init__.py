"""The daily refresh of price bars and EMAs in PostgreSQL: the map of the house.

One direction: command line -> plan -> launch -> builder processes -> pure core <-> store -> report -> faces.

* ``errors``   the error tree; each class knows its exit code
* ``catalog``  the ten builders, as a table of data
* ``core``     pure: arrays and values in, arrays and values out
* ``store``    the only folder that speaks SQL
* ``builder``  what happens inside one builder process
* ``run``      what happens inside the orchestrating process
* ``faces``    what people see, and the command line
* ``load``     CSV files into the source table
* ``validation``  whether the tables are right

Shared by processes of both kinds: ``options`` and their values, ``outcome``, ``settings``, ``stop``.
"""
