"""``python -m dataworth.cli``: the same as the ``dataworth`` command."""

from dataworth.cli import main

main()
