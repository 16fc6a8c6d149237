"""Every persistence method as a synchronous function over an open transaction (`storage.tx.Tx`): the logic, written once.

`common.py` holds what all share: the fence and the transition. A function that may refuse decides before it writes
anything, so a refused call leaves its transaction as it was, and others may share it.
"""
