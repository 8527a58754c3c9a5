"""``python -m minisnn`` is the command ``minisnn``."""

from .commands.main import main

raise SystemExit(main())
