"""``python -m camlib``: the command line of cli.py."""

from camlib.cli import main

raise SystemExit(main())
