"""The transport `http`: HTTP/1.1 and JSON, for both protocols.

`server.py` is the driver, `app.py` the Starlette application that it serves, `binding.py` the way of an operation to a
method, a path, a query and a body and back (both sides use it), `bodies.py` what comes in, `openapi.py` the document.
`client.py` is what `dial` finds; it imports neither Starlette nor uvicorn.
"""
