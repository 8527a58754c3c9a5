"""The other end of a Python port's process: it loads functions by name and calls them in its main thread.

The messages have descriptors of their own, so that nothing that a port prints or reads comes between them; and what
it changes in the modules that are needed here is so only while it runs.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import os
import struct
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from os import _exit, getpid, read, write
from typing import Any

import numpy as np

from ..errors import InputError
from .calling import Caller, load_function
from .protocol import Message, encode, take

_OURS = [
    (vars(module), vars(module).copy())
    for module in (builtins, contextlib, np, os, struct, sys, traceback, warnings)
]
_theirs: list[tuple[dict[str, Any], dict[str, Any]]] = []


def _apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of the port among the modules as the port left them; no built-in name is used meanwhile."""
    for names, changed in _theirs:
        names.update(changed)
    try:
        return function(*arguments)
    finally:
        _theirs[:] = [(names, names.copy()) for names, _ in _OURS]
        for names, ours in _OURS:
            names.update(ours)


def serve(names: Mapping[str, str], path: list[str]) -> None:
    """Answer the requests on standard input until it ends.

    `names` has ``module:function`` for each kind of request; modules are looked for in `path`.
    """
    sys.path[:] = path
    requests, answers, process = os.dup(0), os.dup(1), getpid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
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
            if caller is None:
                functions = {kind: _apart(load_function, name) for kind, name in names.items()}
                caller = Caller({kind: functools.partial(_apart, f) for kind, f in functions.items()})
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
