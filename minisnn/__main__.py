"""``python -m minisnn`` is the command ``minisnn``."""

from .cli import main

raise SystemExit(main())
