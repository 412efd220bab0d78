"""Every option, declared once: parser, help, environment, builder arguments and the documents derive from it.

* ``values``       the kinds of values: how each is read and written
* ``declaration``  what an option and a setting are; the programs that take them
* ``request``      the declarations: ``Request`` for a refresh, ``LoadRequest`` for loading files, ``SETTINGS``
* ``parsing``      a command line and the environment become a request
* ``arguments``    a request becomes arguments again: for a builder, for the history, for people
* ``builders``     which builders a request runs
* ``environment``  the environment and ``.env``
* ``help``         what ``--help`` prints
* ``documents``    the generated parts of the documents
"""
