"""The other end of a Python port's process: it loads functions by name and calls them in its main thread.

The messages have descriptors of their own, so that nothing that a port prints or reads comes between them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from os import O_RDONLY, _exit, devnull, dup, dup2, getpid, open, read, write

from ..errors import InputError
from .calling import Caller
from .load import load_function
from .protocol import Message, encode, take

__all__ = ["serve"]


def serve(names: Mapping[str, str], path: list[str]) -> None:
    """Answer the requests on standard input until it ends.

    Parameters
    ----------
    names : mapping
        ``module:function`` for each kind of request.
    path : list of str
        Where modules are looked for.
    """
    sys.path[:] = path
    requests, answers, process = dup(0), dup(1), getpid()
    dup2(open(devnull, O_RDONLY), 0)
    dup2(2, 1)
    received, caller = bytearray(), None
    while True:
        while (taken := take(received)) is None:
            came = read(requests, 2**20)
            if not came:
                return
            received += came
        request, n_bytes = taken
        del received[:n_bytes]
        try:
            caller = caller or Caller({kind: load_function(name) for kind, name in names.items()})
            parts = caller.answer(request)
        except InputError as error:
            parts = {"import": str(error)}
        if getpid() != process:
            parts = {"fork": "a process that the port forked came back from the call as well"}
        data = encode(Message(request.number, "answer", parts))
        while data:
            data = data[write(answers, data) :]
        if getpid() != process:
            _exit(0)
