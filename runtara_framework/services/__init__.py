"""The use cases. They know the contracts of `spec` and the records of `model`, and no driver.

`core.py` answers instances, `environment.py` answers products; `launcher.py` admits and supervises processes, `wake.py` wakes
what is due, `recovery.py` goes on after a crash of the server, `images.py` registers executables. `notifier.py` tells
everybody in this process what was committed; `identity.py` says who is calling; `endpoint.py` is what transports serve.
"""
