"""``python -m camlib``: see :mod:`camlib.cli`."""

from camlib.cli import main

raise SystemExit(main())
