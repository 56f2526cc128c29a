"""``python -m camlib.data verify``: compare every photograph and weight file with data/manifest.json."""

from camlib.data.manifest import main

raise SystemExit(main())
