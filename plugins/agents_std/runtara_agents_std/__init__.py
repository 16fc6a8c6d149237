"""The standard agents, one package each: `transform` (shape JSON data) and `utils` (numbers, dates, random values, …).

Their capabilities are coroutine functions although they never wait: a plain function would be run in a thread, and the
thread would cost more than the work.
"""
