"""How plugins come in: `drivers.py` (exactly one, by name), `hooks.py` (anybody interested), `report.py` (who is there)."""
