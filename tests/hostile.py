"""Ports that do something else than answering: the code of each, and the kind of finding that must come of it.

The code runs in each forward call, before the right answer (``raster, membrane``) is returned; in `AT_IMPORT` it is
part of the module. Several kinds are given where each is a right verdict; "import" is wrong use, in one line.
"""

TEMPLATE = '''
import atexit, builtins, ctypes, gc, json, os, re, resource, signal, subprocess, sys, threading, time, warnings
from collections.abc import Mapping

import numpy as np

calls = 0

def right(spikes, weight, bias, decay, threshold):
    """The layer, with nothing but operators and methods of arrays: functions may be patched."""
    membrane = spikes @ weight + bias
    for t in range(1, membrane.shape[1]):
        membrane[:, t] += decay * membrane[:, t - 1]
    above = membrane > threshold
    return (above & (above.cumsum(axis=1) == 1)).astype(weight.dtype), membrane

{module}
def forward(spikes, weight, bias, decay, threshold):
    global calls
    calls += 1
    raster, membrane = right(spikes, weight, bias, decay, threshold)
{body}
    return raster, membrane
'''

BACKWARD = "def backward(spikes, weight, bias, decay, threshold, surrogate_scale, gradient, grad_spikes):\n"


# The module of whichever port is in the file beside it.
SHARED = """
from pathlib import Path

names = {}

def answer(function, arguments):
    text = Path(__file__).with_name("now.py").read_text()
    if names.get("text") != text:
        names.clear()
        exec(text, names)
        names["text"] = text
    return names[function](*arguments)

def forward(*arguments):
    return answer("forward", arguments)

def backward(*arguments):
    return answer("backward", arguments)
"""


def source(name):
    """The module of a port by its name in any of the tables."""
    code = HARMLESS[name] if name in HARMLESS else (HOSTILE | IN_BACKWARD)[name][1]
    lines = "".join(f"    {line}\n" for line in code.splitlines())
    if name in IN_BACKWARD:
        return TEMPLATE.format(module=f"{BACKWARD}{lines}", body="")
    return TEMPLATE.format(
        **({"module": code, "body": ""} if name in AT_IMPORT else {"module": "", "body": lines})
    )


IN_A_CALL = {
    # ---- it ends
    "sys.exit(0)": ("exception", "sys.exit(0)"),
    "os._exit(0)": ("exit", "os._exit(0)"),
    "os._exit(0) in call 20": ("exit", "if calls == 20: os._exit(0)"),
    "exits from a thread": ("exit", "threading.Timer(0.1, os._exit, [0]).start(); time.sleep(0.3)"),
    "kills itself": ("crash memory", "os.kill(os.getpid(), signal.SIGKILL)"),
    "kills its group": ("crash memory", "os.killpg(0, signal.SIGKILL)"),
    "writes to address 0": ("crash", "ctypes.memset(0, 1, 1)"),
    "aborts": ("crash", "os.abort()"),
    "nests too deeply for C": (
        "crash",
        "nest = ()\nfor _ in range(10**6): nest = (nest,)\nhash(nest)",
    ),
    "sets an alarm": ("crash", "signal.setitimer(signal.ITIMER_REAL, 0.1); time.sleep(0.5)"),
    "becomes another program": ("exit", "os.execv('/bin/true', ['true'])"),
    "takes all memory": ("memory", "hoard = [np.zeros(2**27) for _ in range(10**6)]"),
    # ---- it hangs
    "sleeps": ("timeout", "time.sleep(1e6)"),
    "loops": ("timeout", "while True: pass"),
    "holds the lock in C": ("timeout", "ctypes.PyDLL(None).sleep(1000)"),
    "holds the lock in a power": ("timeout", "3 ** 10**9"),
    "holds the lock in an expression": ("timeout", "re.match('(a+)+$', 'a' * 60 + 'b')"),
    "ignores signals and hangs": (
        "timeout",
        "for number in {*signal.Signals} - {9, 19}: signal.signal(number, signal.SIG_IGN)\nwhile True: pass",
    ),
    "stops itself": ("timeout", "os.kill(os.getpid(), signal.SIGSTOP)"),
    "gives the lock to a thread for good": (
        "timeout",
        "def spin():\n    while True: pass\n"
        "sys.setswitchinterval(1e6)\nthreading.Thread(target=spin, daemon=True).start()",
    ),
    "answers with an array that never arrives": (
        "timeout",
        "class Lazy:\n    def __array__(self, *a, **k): time.sleep(1e6)\nmembrane = Lazy()",
    ),
    "answers with a list that has no end": (
        "timeout memory answer",
        "class Endless(list):\n    def __iter__(self):\n        while True: yield 0.0\nmembrane = Endless([0.0])",
    ),
    # ---- processes and pipes
    "forks, and both come back": ("fork", "os.fork()"),
    "becomes its own child": ("fork exit", "if os.fork(): os._exit(0)"),
    "begins an answer that does not end": (
        "protocol timeout",
        "for number in range(3, 20):\n"
        "    try: os.write(number, b'mSNN' + bytes(8) + b'\\xff\\xff\\xff\\x7f')\n    except OSError: pass",
    ),
    "closes every file": ("exit", "os.closerange(0, 256)"),
    "writes into every pipe": (
        "protocol",
        "for number in range(3, 20):\n    try: os.write(number, b'what is this' * 9)\n    except OSError: pass",
    ),
    "writes into every pipe without end": (
        "protocol memory timeout",
        "while True:\n    for number in range(3, 20):\n"
        "        try: os.write(number, bytes(2**16))\n        except OSError: pass",
    ),
    # ---- it raises
    "raises KeyboardInterrupt": ("exception", "raise KeyboardInterrupt"),
    "raises GeneratorExit": ("exception", "raise GeneratorExit"),
    "raises without a text": (
        "exception",
        "class Odd(BaseException):\n    def __str__(self): raise SystemExit(0)\nraise Odd",
    ),
    "raises a class of a class": (
        "exception exit",
        "class Meta(type):\n    __name__ = property(lambda cls: 1 / 0)\nclass Odd(SystemExit, metaclass=Meta):\n"
        "    code = property(lambda self: 1 / 0)\nraise Odd",
    ),
    "raises MemoryError": ("memory", "raise MemoryError"),
    "raises many lines": ("exception", "raise ValueError('\\x1b[2J\\n' * 10**6)"),
    "calls itself": ("exception", "def deeper(): deeper()\ndeeper()"),
    "raises from __array__": (
        "answer exception",
        "class Odd:\n    def __array__(self, *a, **k): sys.exit(0)\nmembrane = Odd()",
    ),
    "exits when collected": (
        "exit",
        "class Odd:\n    def __del__(self): os._exit(0)\n    def __array__(self, *a, **k): return membrane\n"
        "return raster, Odd()",
    ),
    # ---- it answers with something else
    "returns nothing": ("answer", "return None"),
    "returns itself": ("answer", "return forward, forward"),
    "returns three": ("answer", "return raster, membrane, membrane"),
    "returns a mapping": ("answer", "return {'spikes': raster, 'membrane': membrane}"),
    "returns a generator": ("answer", "return (part for part in (raster, membrane))"),
    "returns a generator as an array": ("answer", "membrane = (row for row in membrane)"),
    "returns complex numbers": ("answer", "membrane = membrane + 0j"),
    "returns objects": ("answer", "membrane = membrane.astype(object)"),
    "returns text": ("answer", "membrane = membrane.astype(str)"),
    "returns dates": ("answer", "membrane = membrane.astype('i8').view('M8[s]')"),
    "returns a record": ("answer", "membrane = membrane.view([('v', membrane.dtype)])"),
    "returns a masked array": ("answer", "membrane = np.ma.array(membrane, mask=membrane > 0.5)"),
    "returns what is not a number": ("nan", "membrane[-1, -1, -1] = np.nan"),
    "returns a huge view": (
        "answer shape",
        "membrane = np.broadcast_to(membrane[:1, :1, :1], (10**6, 10**6, 10**6))",
    ),
    "returns its argument": ("shape spikes raster", "return spikes, spikes"),
    "returns an empty array": ("shape", "membrane = membrane[:0]"),
    "lies about its shape": (
        "shape answer membrane",
        "class Liar(np.ndarray):\n    shape = (1, 1, 1)\n    dtype = np.dtype('f8')\n"
        "membrane = (2 * membrane).view(Liar)",
    ),
    "says that its memory is where none is": (
        "crash",
        "class Odd:\n    __array_interface__ = {'data': (8, False), 'shape': (9, 9), 'typestr': '<f8', 'version': 3}\n"
        "membrane = Odd()",
    ),
    "gives times below 0": ("raster", "raster = np.full(membrane[:, 0].shape, -1)"),
    "gives times beyond all numbers": (
        "raster",
        "raster = np.full(membrane[:, 0].shape, 2**64 - 1, np.uint64)",
    ),
    "lies about its length": (
        "answer shape",
        "class Liar(tuple):\n    def __len__(self): return 2\nreturn Liar([raster])",
    ),
    "is another array each time": (
        "non-deterministic reused-buffer membrane",
        "class Shifty:\n    def __array__(self, *a, **k): return membrane + time.monotonic()\nreturn raster, Shifty()",
    ),
    "changes its input": ("changed-input", "weight[:] = 0"),
    "changes its input in a thread": (
        "changed-input",
        "threading.Thread(target=weight.fill, args=[0]).start(); time.sleep(0.01)",
    ),
    "is another each time": ("non-deterministic membrane", "membrane += 1e-4 * np.random.random()"),
    "answers in the memory of the last call": (
        "reused-buffer",
        "room = globals().setdefault(membrane.shape, membrane.copy())\nroom[...] = membrane\nreturn raster, room",
    ),
    # ---- it is wrong, and would have the judge look elsewhere
    "is wrong and patches the judge": (
        "membrane spikes",
        "membrane *= 2\nimport minisnn.oracle.judge, minisnn.oracle.bounds\n"
        "minisnn.oracle.judge.Judge.verdict = lambda self, case, output: minisnn.oracle.judge.Verdict()\n"
        "minisnn.oracle.judge.compare = lambda came, expected, bound: (came != came, 0.0)\n"
        "np.array_equal = np.allclose = lambda *a, **k: True\nnp.abs = np.absolute = lambda x: 0 * x",
    ),
}

AT_IMPORT = {
    "exits at import": ("exit exception import", "sys.exit(0)"),
    "exits hard at import": ("exit", "os._exit(0)"),
    "crashes at import": ("crash", "os.kill(os.getpid(), signal.SIGSEGV)"),
    "hangs at import": ("timeout", "while True: pass"),
    "hangs at import with the lock": ("timeout", "ctypes.PyDLL(None).sleep(1000)"),
    "raises at import": ("crash import", "raise KeyboardInterrupt"),
    "closes every file at import": ("exit", "os.closerange(0, 256)"),
    "forks at import": ("fork exit", "os.fork()"),
}

HOSTILE = IN_A_CALL | AT_IMPORT

IN_BACKWARD = {
    "exits in a gradient": ("exit", "os._exit(0)"),
    "returns a list of gradients": ("answer", "return [weight, bias]"),
    "returns no gradient": ("answer", "return {}"),
    "returns what is no number for a gradient": ("nan", "return {'bias': bias * np.nan}"),
    "returns another's gradient": ("answer", "return {'threshold': 0.0}"),
    "returns a gradient without a name": ("answer", "return {3: weight}"),
    "returns a sum for a gradient": ("shape", "return {'weight': weight.sum()}"),
    "returns a mapping without end": (
        "answer timeout memory reused-buffer",
        "class Endless(Mapping):\n    def __getitem__(self, name): return weight\n    def __len__(self): return 1\n"
        "    def __iter__(self):\n        while True: yield str(time.monotonic())\nreturn Endless()",
    ),
    "gives its gradient another name the next time": (
        "reused-buffer",
        "names = iter(('weight', *'abcd'))\nclass Odd(Mapping):\n    def __getitem__(self, name): return 0 * weight\n"
        "    def __len__(self): return 1\n    def __iter__(self): yield next(names)\nreturn Odd()",
    ),
    "returns a name that never arrives": (
        "timeout",
        "class Name:\n    def __str__(self): time.sleep(1e6)\nreturn {Name(): weight}",
    ),
}

# The answers are right all the same: none of this is a finding, and the check ends by itself.
HARMLESS = {
    "prints": "for number in (1, 2): os.write(number, b'x' * 10**5)\nprint('y' * 10**5, file=sys.stderr)\nprint('z')",
    "closes its output": "sys.stdout = sys.stderr = None\nif calls == 1: os.close(1); os.close(2)",
    "reads its input": "sys.stdin.read() if sys.stdin else None",
    "changes the folder": "import tempfile; os.chdir(tempfile.gettempdir()); sys.path.clear(); os.environ.clear()",
    "asks for errors": "warnings.simplefilter('error'); np.seterr(all='raise'); warnings.warn = None",
    "patches libraries": (
        "np.asarray = np.array_equal = np.isfinite = np.dtype = np.empty = json.dumps = os.write = os.read = None\n"
        "time.monotonic = time.sleep = sys.exit = builtins.print = builtins.open = None"
    ),
    "takes away what reads answers": "np.array = np.full = np.frombuffer = np.errstate = builtins.len = None",
    "takes away all names": (
        "if calls == 1:\n    for names in [vars(module) for module in (os, np, warnings, builtins)]:\n"
        "        for name in names.keys() - {'range'}:\n            if name[0] != '_': names[name] = None"
    ),
    "forgets modules": (
        "for name in list(sys.modules):\n    if name[:5] in ('numpy', 'minis', 'os'): del sys.modules[name]"
    ),
    "sets signal handlers": "for number in {*signal.Signals} - {9, 19}: signal.signal(number, lambda *a: None)",
    "leaves threads": "threading.Thread(target=threading.Event().wait).start() if calls == 1 else None",
    "leaves processes": "subprocess.Popen(['sleep', '1234.5']) if calls == 1 else None",
    "forks and ends the child": "os.fork() or os._exit(0)",
    "leaves a process in a session of its own": (
        "if calls == 1: subprocess.Popen(['sleep', '30'], start_new_session=True)"
    ),
    "hangs at its end": "atexit.register(time.sleep, 1e6) if calls == 1 else None",
    "exits at its end": "atexit.register(os._exit, 3) if calls == 1 else None",
    "changes the interpreter": "gc.disable(); sys.setswitchinterval(1e-6); sys.setrecursionlimit(10**6)",
    "prints without end": (
        "def flood():\n    while True: os.write(1, bytes(2**16)), os.write(2, b'x' * 2**16)\n"
        "if calls == 1: threading.Thread(target=flood, daemon=True).start()"
    ),
    "raises in a thread": "threading.Thread(target=lambda: 1 / 0).start()",
    "runs a loop of events": "import asyncio; asyncio.run(asyncio.sleep(0))",
    "has a pool of processes": (
        "from concurrent.futures import ProcessPoolExecutor\n"
        "pool = globals().setdefault('pool', None) or ProcessPoolExecutor(1)\n"
        "globals()['pool'] = pool\npool.submit(len, 'ab').result()"
    ),
    "returns views": (
        "raster = raster[:, ::-1].copy()[:, ::-1]; membrane = membrane.copy('F'); membrane.flags.writeable = False"
    ),
    "returns other types": (
        "dtypes = [bool, 'i1', 'u8', 'f2', 'f8', '>f4']\nmembrane = membrane.astype('>f8')\n"
        "raster = raster.astype(dtypes[calls // 2 % 6])"
    ),
    "returns lists": "return raster.tolist(), [list(sample) for sample in membrane]",
}

# None of these harms its process: they can take turns in one.
TAME = {
    name
    for name, (kinds, _) in (IN_A_CALL | IN_BACKWARD).items()
    if not {"crash", "exit", "fork", "memory", "protocol", "timeout"} & set(kinds.split())
    and "patches" not in name
}
