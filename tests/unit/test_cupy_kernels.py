"""The CUDA kernels compile for the GPUs they are meant for; no GPU is needed for that."""

import ctypes
import importlib.util
import os
from pathlib import Path

import pytest

from minisnn.solvers.cuda import kernels


def nvrtc():
    """NVRTC from its wheel, or None."""
    try:
        found = importlib.util.find_spec("nvidia.cuda_nvrtc")
    except ModuleNotFoundError:
        found = None
    places = list(found.submodule_search_locations) if found else []
    files = [file for place in places for file in sorted(Path(place, "lib").glob("libnvrtc.so*"))]
    return ctypes.CDLL(str(files[0])) if files else None


def compile_for(library, source, options):
    """PTX of `source`, or AssertionError with the compiler's log."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert (
        library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None) == 0
    )
    array = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
    status = library.nvrtcCompileProgram(program, len(options), array)
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    assert status == 0, log.value.decode()
    library.nvrtcGetPTXSize(program, ctypes.byref(size))
    ptx = ctypes.create_string_buffer(size.value)
    assert library.nvrtcGetPTX(program, ptx) == 0
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return ptx.value.decode()


@pytest.fixture(scope="module")
def library():
    loaded = nvrtc()
    if loaded is None:
        message = "NVRTC is missing: pip install nvidia-cuda-nvrtc-cu12"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return loaded


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_kernel_compiles_without_fused_multiply_add(library, architecture, dtype):
    options = [*kernels.OPTIONS, f"--gpu-architecture=compute_{architecture[3:]}"]
    ptx = compile_for(library, kernels.source(dtype), options)
    for name in kernels.NAMES:
        assert f".entry {name}(" in ptx
    assert kernels.source(dtype).count("__global__ void") == len(kernels.NAMES)
    # The exact square root and division use fma inside; in PTX they are still one instruction each.
    assert "fma.rn" not in ptx
    # With contraction allowed the same source does fuse, so the line above can fail.
    assert "fma.rn" in compile_for(library, kernels.source(dtype), options[1:])
