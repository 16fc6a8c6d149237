"""What plugin authors test with: a conformance suite for each kind, inherited and given fixtures, and the helpers that the
suites stand on. It ships in the wheel; its dependencies are the extra `testing`."""

from __future__ import annotations
