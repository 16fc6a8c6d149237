"""The transport `unix`: frames on a persistent connection to a unix socket.

`client.py` is what `dial` finds (it runs inside instances and imports nothing heavy); `server.py` the driver;
`connection.py` one client of it. The frames are those of `protocol.framing`.
"""
