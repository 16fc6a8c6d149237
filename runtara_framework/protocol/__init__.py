"""What goes over the wire, without any I/O: the table of operations, the messages, the frames.

`operations.py` is the table that drives every transport; `messages.py` the records; `channel.py` what a client calls;
`framing.py` the frames of stream transports.
"""
