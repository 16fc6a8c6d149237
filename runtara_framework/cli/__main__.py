"""`python -m runtara_framework.cli` is `runtara`."""

from __future__ import annotations

import sys

from runtara_framework.cli import main

sys.exit(main())
