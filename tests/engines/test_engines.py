import ctypes
import importlib
import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

import strokeseg.engines.choice
from strokeseg.engines.choice import available_engines, open_engine
from strokeseg.engines.cuda import cuda_count
from strokeseg.errors import EngineError, ModelFormatError, UsageError
from tests.networks import ENGINES, closeness, needs_torch, random_image, random_state, spec_of


def opened(**choices):
    spec = spec_of(out_channels=2)
    return open_engine(spec, random_state(spec), **choices)


@pytest.fixture
def without(monkeypatch):
    """Make engines look as if they were not installed."""

    def hide(*names):
        real = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name in names else real(name)
        )

    return hide


@pytest.fixture
def gpu(monkeypatch):
    """Make the driver and some engines look as if there were a CUDA device."""

    def show(*names):
        monkeypatch.setattr(strokeseg.engines.choice, "cuda_count", lambda: 1)
        for name in names:
            module = importlib.import_module(f"strokeseg.engines.{name}")
            monkeypatch.setattr(module, "devices", lambda: ["cpu", "cuda:0"])

    return show


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(strokeseg.engines.choice, "cuda_count", lambda: 0)


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_says_what_it_is(name):
    engine = opened(engine=name, device="cpu")
    assert (engine.name, engine.device, engine.precision) == (name, "cpu", "fp32")
    assert engine.classes == 2


@pytest.mark.parametrize("name", ENGINES)
def test_logits_are_written_where_they_were_asked_for(name):
    engine, patch = opened(engine=name, device="cpu"), random_image((8, 12, 16))
    fresh = engine.logits(patch)
    memory = np.full((3, 2, 8, 12, 16), 7, np.float32)
    assert engine.logits(patch, memory[1]) is not fresh
    np.testing.assert_array_equal(memory[1], fresh)
    assert (memory[[0, 2]] == 7).all()


@pytest.mark.parametrize("name", ENGINES)
def test_windows_of_another_shape_follow_one_another(name):
    engine = opened(engine=name, device="cpu")
    small, large = random_image((8, 8, 8)), random_image((8, 16, 12))
    first = engine.logits(small)
    assert engine.logits(large).shape == (2, 8, 16, 12)
    np.testing.assert_array_equal(engine.logits(small), first)


@pytest.mark.parametrize("name", ENGINES)
def test_logits_stay_the_callers_own(name):
    engine = opened(engine=name, device="cpu")
    first = engine.logits(random_image((8, 8, 8), seed=1))
    copy = first.copy()
    engine.logits(random_image((8, 8, 8), seed=2))
    np.testing.assert_array_equal(first, copy)


@pytest.mark.parametrize("name", ENGINES)
def test_a_patch_may_be_a_view(name):
    engine = opened(engine=name, device="cpu")
    patch = random_image((8, 12, 16))[::-1, :, ::-1]
    result = engine.logits(patch)
    np.testing.assert_array_equal(result, engine.logits(np.ascontiguousarray(patch)))


@pytest.mark.parametrize("name", ENGINES)
def test_the_same_patch_gives_the_same_bytes_again(name):
    engine, patch = opened(engine=name, device="cpu", threads=1), random_image((16, 16, 16))
    assert engine.logits(patch).tobytes() == engine.logits(patch).tobytes()


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing_but_the_time(name, threads):
    patch = random_image((16, 16, 16))
    engine = opened(engine=name, device="cpu", threads=threads)
    assert closeness(engine.logits(patch), opened(engine="openvino").logits(patch)) < 1e-4


@pytest.mark.parametrize("name", ["openvino", pytest.param("torch", marks=needs_torch)])
def test_bf16_is_near_fp32_and_not_the_same(name):
    patch = random_image((16, 16, 16))
    try:
        engine = opened(engine=name, device="cpu", precision="bf16")
    except EngineError as error:
        assert "no bf16; use precision fp32" in str(error)  # noqa: PT017
        return
    assert engine.precision == "bf16"
    difference = closeness(engine.logits(patch), opened(engine=name, device="cpu").logits(patch))
    assert 1e-6 < difference < 0.1


def test_onnxruntime_refuses_bf16():
    with pytest.raises(EngineError, match="onnxruntime has no bf16; use fp32, or"):
        opened(engine="onnxruntime", device="cpu", precision="bf16")


@needs_torch
@pytest.mark.usefixtures("no_gpu")
def test_auto_on_a_cpu_prefers_openvino_then_onnxruntime_then_torch(without):
    assert opened().name == "openvino"
    without("openvino")
    assert opened().name == "onnxruntime"
    without("openvino", "onnxruntime")
    assert opened().name == "torch"
    without(*ENGINES)
    with pytest.raises(EngineError, match="no inference engine is installed; pip install openvino"):
        opened()


@needs_torch
def test_auto_takes_cuda_where_torch_or_onnxruntime_reach_it(gpu, without):
    choose = strokeseg.engines.choice._choose
    gpu("torch", "onnxruntime")
    assert choose("auto", "auto") == ("torch", "cuda:0")
    assert choose("auto", "cuda") == ("torch", "cuda:0")
    assert choose("onnxruntime", "auto") == ("onnxruntime", "cuda:0")
    assert choose("openvino", "auto") == ("openvino", "cpu")
    assert choose("auto", "cpu") == ("openvino", "cpu")
    without("torch")
    assert choose("auto", "auto") == ("onnxruntime", "cuda:0")


def test_auto_takes_the_cpu_where_no_engine_reaches_the_gpu(gpu):
    gpu()
    assert strokeseg.engines.choice._choose("auto", "auto") == ("openvino", "cpu")


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_that_is_missing_is_an_error_that_says_how_to_install_it(name, without):
    without(name)
    with pytest.raises(EngineError, match=f"{name} is not installed; pip install") as error:
        opened(engine=name, device="cpu")
    assert error.value.exit_code == 70


@pytest.mark.skipif(cuda_count() > 0, reason="there is a GPU here")
@pytest.mark.parametrize(
    "engine", ["auto", "onnxruntime", pytest.param("torch", marks=needs_torch)]
)
def test_cuda_that_is_missing_is_an_error_and_no_fallback(engine):
    with pytest.raises(EngineError, match=r"find.* no|no engine finds a device") as error:
        opened(engine=engine, device="cuda")
    assert "cuda:0" in str(error.value)
    assert "--device cpu" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("engine", "device"), [("openvino", "cuda"), ("onnxruntime", "mps")])
def test_an_engine_on_a_device_it_does_not_know_is_an_error(engine, device):
    with pytest.raises(EngineError, match=f"{engine} cannot run on {device}; use --engine torch"):
        opened(engine=engine, device=device)


def test_a_broken_installation_is_an_error_in_one_line(monkeypatch):
    def broken(_name):
        raise ImportError("libfoo.so: cannot open shared object file\nand more")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(EngineError, match=r"openvino is broken: libfoo\.so") as error:
        opened(engine="openvino", device="cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"engine": "tensorrt"}, "engine 'tensorrt' is unknown; use auto, openvino"),
        ({"device": "npu"}, "device 'npu' is unknown; use auto, cpu, cuda, cuda:N or mps"),
        ({"device": "cuda:x"}, "device 'cuda:x' is unknown"),
        ({"precision": "fp8"}, "precision 'fp8' is unknown; use fp32 or bf16"),
        ({"threads": 0}, "threads is 0; give at least 1"),
    ],
)
def test_choices_that_do_not_exist_are_refused(choices, message):
    with pytest.raises(UsageError, match=message) as error:
        opened(**choices)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("name", ENGINES)
def test_tensors_of_another_network_are_refused(name):
    with pytest.raises(ModelFormatError, match="weights"):
        open_engine(spec_of(out_channels=2), random_state(spec_of()), engine=name, device="cpu")


@pytest.mark.parametrize("name", ENGINES)
def test_a_failure_while_running_is_one_line(name):
    with pytest.raises(EngineError, match=f"{name}.* failed on a window of 5x7x9: ") as error:
        opened(engine=name, device="cpu").logits(random_image((5, 7, 9)))
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 70


@pytest.mark.parametrize("name", ENGINES)
def test_running_out_of_memory_is_an_engine_error(name, monkeypatch):
    engine = opened(engine=name, device="cpu")
    engine.logits(random_image((8, 8, 8)))

    def run(*_arguments):
        raise MemoryError

    class Broken:
        io_binding = engine._session.io_binding if name == "onnxruntime" else None
        set_input_tensor = set_output_tensor = staticmethod(lambda *_: None)
        infer = run_with_iobinding = __call__ = run

    inner = {"openvino": "_request", "onnxruntime": "_session", "torch": "_network"}[name]
    monkeypatch.setattr(engine, inner, Broken())
    with pytest.raises(EngineError, match="MemoryError; try a smaller --window"):
        engine.logits(random_image((8, 8, 8)))


def test_installed_engines_are_listed_with_version_and_devices():
    found = {info.name: info for info in available_engines()}
    assert set(found) == set(ENGINES)
    for info in found.values():
        assert info.devices[0] == "cpu"
        assert info.version[0].isdigit()


def test_engines_that_are_missing_are_not_listed(without):
    without("torch")
    assert [info.name for info in available_engines()] == ["openvino", "onnxruntime"]


def test_openvino_needs_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from tests.networks import spec_of, random_state, random_image\n"
        "from strokeseg.engines.choice import open_engine\n"
        "from strokeseg.engines.scan import scan_logits\n"
        "from strokeseg.engines.windows import plan_windows\n"
        "spec = spec_of()\n"
        "engine = open_engine(spec, random_state(spec))\n"
        "image = random_image((8, 8, 8))\n"
        "scan = scan_logits(engine, image, plan_windows(image.shape, 8, 0.5, 4))\n"
        "assert scan.mean.shape == (6, 8, 8, 8)\n"
        "print(engine.name)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "openvino"


def test_openvino_tells_nobody_of_its_use(tmp_path):
    code = (
        "from strokeseg.engines.choice import open_engine\n"
        "from tests.networks import spec_of, random_state\n"
        "spec = spec_of()\n"
        "open_engine(spec, random_state(spec), engine='openvino')\n"
        "import openvino, sys\n"
        "assert sys.modules['openvino_telemetry'] is None\n"
    )
    home = {**os.environ, "HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=home
    )
    assert run.returncode == 0, run.stderr
    assert not list(tmp_path.iterdir())


def test_importing_the_engines_imports_no_framework():
    code = (
        "import sys, strokeseg.engines.choice, strokeseg.engines.scan\n"
        "print({'torch', 'openvino', 'onnxruntime', 'onnx'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


class Stack(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def signal_stack():
    """The alternate signal stack of this thread."""
    stack = Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    return stack.start, stack.flags, stack.size


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="stack_t as Linux has it")
def test_openvino_leaves_the_signal_stack_alone():
    before = signal_stack()
    spec = spec_of()
    engine = open_engine(spec, random_state(spec), engine="openvino", threads=1)
    engine.logits(random_image((32, 32, 32)))
    assert signal_stack() == before
    del engine
    assert signal_stack() == before
