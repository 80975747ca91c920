"""What no source file may do: unpickle, run text as code, start a shell, speak plain http."""

import ast
import ipaddress
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path
    for folder in ("strokeseg", "training", "weights")
    for path in (ROOT / folder).rglob("*.py")
)

# Modules that unpickle, or that start programs; each use that is allowed says why it is harmless.
MODULES = {
    *("pickle", "_pickle", "cPickle", "marshal", "shelve", "dbm", "joblib", "dill", "cloudpickle"),
    *("code", "codeop", "runpy", "imp", "pty", "commands", "telnetlib", "ftplib", "xmlrpc", "yaml"),
    "subprocess",
}
ALLOWED_MODULES = {
    (
        "training/fitting/checkpoint.py",
        "pickle",
    ): "names the error that torch raises, and nothing else",
    (
        "strokeseg/network/torch_checkpoint.py",
        "pickle",
    ): "names the error that torch raises, and nothing else",
    ("strokeseg/images/dicom.py", "subprocess"): "dcm2niix, a list of words, no shell",
    ("strokeseg/cohort/batch/cluster/slurm.py", "subprocess"): "sbatch, a list of words, no shell",
}
# Calls by their last name, whatever they are called on.
CALLS = {
    *("eval", "exec", "__import__", "execfile", "system", "popen", "startfile", "mktemp"),
    *("spawnl", "spawnle", "spawnlp", "spawnv", "spawnve", "spawnvp", "execl", "execle", "execlp"),
    *("execv", "execve", "execvp", "execvpe", "getoutput", "getstatusoutput", "create_module"),
    *("unsafe_load", "full_load", "load_source", "create_subprocess_shell", "read_pickle"),
}
# Names that give XML documents, not places that anything is fetched from.
NAMESPACES = re.compile(r"http://www\.w3\.org/")


def where(path):
    return path.relative_to(ROOT).as_posix()


def called(node):
    """The dotted name of what is called, as far as it is made of names."""
    parts, target = [], node.func
    while isinstance(target, ast.Attribute):
        parts.append(target.attr)
        target = target.value
    if isinstance(target, ast.Name):
        parts.append(target.id)
    return ".".join(reversed(parts))


def keyword(node, name):
    """The value of a keyword where it is written out, None where it is not given."""
    given = [word.value for word in node.keywords if word.arg == name]
    return getattr(given[0], "value", given[0]) if given else None


def unsafe_calls(tree):
    """Every call of a tree that is not allowed, as words."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = called(node)
        last = name.rpartition(".")[2]
        if last in CALLS:
            is_mode = last == "eval" and isinstance(node.func, ast.Attribute) and not node.args
            if not is_mode:  # a network's eval(), which takes nothing
                yield name
        elif name == "compile":
            yield name
        elif name == "torch.load" and keyword(node, "weights_only") is not True:
            yield "torch.load without weights_only=True"
        elif last in ("load", "open_memmap", "fromfile") and name.startswith(("np.", "numpy.")):
            if keyword(node, "allow_pickle") not in (None, False):
                yield f"{name} with allow_pickle"
        elif keyword(node, "shell") not in (None, False):
            yield f"{name} with shell"
        elif keyword(node, "autoescape") is False:
            yield f"{name} without escaping"
        elif keyword(node, "verify") is False:
            yield f"{name} without checking certificates"


def unsafe_addresses(tree):
    """Every text of a tree that holds a plain http address of another machine."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for address in re.findall(r"http://[^\s'\"<>)]*", node.value):
                host = urlsplit(address).hostname or ""
                if not NAMESPACES.match(address) and not is_loopback(host):
                    yield address


def is_loopback(host):
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def modules_of(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("path", SOURCES, ids=where)
def test_a_source_unpickles_nothing_and_runs_no_text(path):
    tree = ast.parse(path.read_text())
    used = {name for name in modules_of(tree) if name in MODULES}
    assert {name for name in used if (where(path), name) not in ALLOWED_MODULES} == set()
    assert list(unsafe_calls(tree)) == []
    assert list(unsafe_addresses(tree)) == []


def test_what_is_allowed_is_used_and_for_that_alone():
    for path, module in ALLOWED_MODULES:
        assert module in set(modules_of(ast.parse((ROOT / path).read_text())))
    for path in ("training/fitting/checkpoint.py", "strokeseg/network/torch_checkpoint.py"):
        named = {
            node.attr
            for node in ast.walk(ast.parse((ROOT / path).read_text()))
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "pickle"
        }
        assert named == {"UnpicklingError"}


@pytest.mark.parametrize(
    "text",
    [
        "eval(x)",
        "exec('1')",
        "compile(x, 'f', 'exec')",
        "__import__(x)",
        "os.system('ls')",
        "os.popen('ls')",
        "subprocess.run('ls', shell=True)",
        "run('ls', shell=flag)",
        "yaml.unsafe_load(x)",
        "pandas.read_pickle(x)",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "np.load(x, allow_pickle=True)",
        "tempfile.mktemp()",
        "frame.eval('a+b')",
        "jinja2.Environment(autoescape=False)",
        "get(x, verify=False)",
    ],
)
def test_such_a_call_would_be_found(text):
    assert len(list(unsafe_calls(ast.parse(text)))) == 1


def test_safe_calls_and_addresses_pass():
    text = (
        "model.eval(); network.eval(); re.compile(x); torch.load(x, weights_only=True)\n"
        "np.load(x); run(['a'], shell=False); 'http://127.0.0.1:8786'; 'http://www.w3.org/2000/svg'"
    )
    tree = ast.parse(text)
    assert list(unsafe_calls(tree)) == []
    assert list(unsafe_addresses(tree)) == []


@pytest.mark.parametrize("address", ["http://huggingface.co/x", "see http://127.0.0.1.evil.org"])
def test_a_plain_address_would_be_found(address):
    assert len(list(unsafe_addresses(ast.parse(repr(address))))) == 1
