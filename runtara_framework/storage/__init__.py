"""Storage over SQL. Which file to read for what:

* `schema.py`, `migrations/`: the tables, and how a database gets them;
* `queries/`: every SQL statement, as SQLAlchemy Core; `compiled.py` turns them into text, kept for SQLite in `sql/`;
* `statements/`: every method of the persistence contract, as a function over an open transaction (`tx.py`);
* `driver.py`: the contract over those functions, for any SQL database; `sqlite.py` is the one that comes with the kernel;
* `engine.py`: its group commit; `groups.py` and `threads.py` are parts of it; `files.py` knows SQLite's files and errors.
"""
