"""How many NVIDIA GPUs there are, asked of the driver, so that no framework need be imported."""

import ctypes
import sys


def cuda_count() -> int:
    """Count the CUDA devices that the driver shows this process.

    Returns
    -------
    int
        0 where there is no driver; CUDA_VISIBLE_DEVICES is honoured.
    """
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
