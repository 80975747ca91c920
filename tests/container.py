"""A Dockerfile without an engine: its stages as folders, its steps in them by chroot.

The base image is stood in for by this machine's system (read-only) with the Python that runs the
tests at /usr/local, where the official images have theirs. Mounts are made in a mount namespace of
each step's own, so that nothing is left of them. Needs root on Linux.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from string import Template

PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
SYSTEM = ("usr", "bin", "sbin", "lib", "lib64")
NETWORK = re.compile(r"(PIP_|SSL_|REQUESTS_CA_BUNDLE$|https?_proxy$|no_proxy$)", re.IGNORECASE)


@dataclass(frozen=True)
class Step:
    """One instruction: its word, such as RUN, and the rest, continuation lines joined."""

    word: str
    rest: str


@dataclass
class Stage:
    """What one FROM begins."""

    base: str
    name: str
    steps: list[Step] = field(default_factory=list)


@dataclass
class Image:
    """A built stage: its folder, and what the steps said of how to run it."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    arguments: dict[str, str] = field(default_factory=dict)
    directory: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def missing() -> str | None:
    """Say what keeps this machine from building."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "stages are built as root on Linux only"
    able = shutil.which("unshare") and not _call(["unshare", "--mount", "true"]).returncode
    return None if able else "this machine allows no mount namespaces"


def parse(text: str) -> list[Stage]:
    """Read a Dockerfile."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    stages: list[Stage] = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, rest = line.split(maxsplit=1)
        if word == "FROM":
            base, *called = rest.split()
            stages.append(Stage(base, called[1] if called else ""))
        else:
            stages[-1].steps.append(Step(word, rest))
    return stages


def build(dockerfile: Path, folder: Path, **arguments: str) -> Image:
    """Build all stages below a folder; gives the last one."""
    built: dict[str, Image] = {}
    for index, stage in enumerate(parse(dockerfile.read_text())):
        image = Image(_make_root(folder / f"stage{index}"))
        for step in stage.steps:
            _do(image, step, dockerfile.parent, built, arguments)
        built[stage.name] = built[""] = image
    return built[""]


def run(
    image: Image, *words: str, user: str, volumes: Mapping[Path, str], network: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run the entry point as `docker run --user USER -v HOST:THERE IMAGE WORDS` does."""
    words = words or tuple(image.command)
    inside = {"HOME": "/", **image.environment}
    script = f"cd {shlex.quote(image.directory)} && exec {shlex.join([*image.entrypoint, *words])}"
    return _chroot(image, script, inside, user, volumes, network)


def lets_through(ignore: str, path: str) -> bool:
    """Tell whether a .dockerignore sends a path to the build; the last line that fits decides."""
    sent = True
    for line in filter(None, map(str.strip, ignore.splitlines())):
        if line.startswith("#"):
            continue
        pattern = line.removeprefix("!").removeprefix("**/")
        anywhere = "**/" in line
        parts = path.split("/")
        heads = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        if any(fnmatch(head, pattern) for head in (parts if anywhere else heads)):
            sent = line.startswith("!")
    return sent


def _do(
    image: Image, step: Step, context: Path, built: Mapping[str, Image], given: Mapping[str, str]
) -> None:
    if step.word == "ARG":
        name, _, default = step.rest.partition("=")
        image.arguments[name] = given.get(name, default)
    elif step.word == "ENV":
        for word in shlex.split(_filled(image, step.rest)):
            name, _, value = word.partition("=")
            image.environment[name] = value
    elif step.word == "WORKDIR":
        image.directory = step.rest
        (image.root / step.rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
    elif step.word == "COPY":
        _copy(image, step.rest, context, built)
    elif step.word == "RUN":
        inside = image.environment | image.arguments | _pip_settings()
        cache = _pip("cache", "dir").strip()  # what was fetched before is not fetched again
        Path(cache).mkdir(parents=True, exist_ok=True)
        rest = step.rest.replace("--no-cache-dir", f"--cache-dir {shlex.quote(cache)}")
        script = f"cd {shlex.quote(image.directory)} && {{ {rest}\n}}"
        volumes = {**_pip_folders(), Path(cache): cache}
        done = _chroot(image, script, inside, "0:0", volumes, network=True)
        if done.returncode:
            raise RuntimeError(f"RUN {step.rest}\n{done.stdout}\n{done.stderr}")
    elif step.word == "USER":
        image.user = step.rest
    elif step.word in ("ENTRYPOINT", "CMD"):
        setattr(image, step.word.lower().replace("cmd", "command"), json.loads(step.rest))
    elif step.word != "LABEL":
        raise NotImplementedError(step.word)


def _filled(image: Image, text: str) -> str:
    return Template(text).safe_substitute(image.environment | image.arguments)


def _copy(image: Image, rest: str, context: Path, built: Mapping[str, Image]) -> None:
    words = rest.split()
    source = context
    ignore = (context / ".dockerignore").read_text()
    if words[0].startswith("--from="):
        source, ignore = built[words.pop(0).removeprefix("--from=")].root, ""
    *names, target = words
    there = image.root / (Path(image.directory) / target).as_posix().lstrip("/")
    for name in names:
        here = source / name.lstrip("/")
        if here.is_dir():

            def skip(folder: str, entries: list[str]) -> list[str]:
                inside = Path(folder).relative_to(source).as_posix()
                return [e for e in entries if not lets_through(ignore, f"{inside}/{e}")]

            link = os.link if source is not context else shutil.copy2
            shutil.copytree(here, there, True, skip, link, dirs_exist_ok=True)
        elif not lets_through(ignore, name):
            raise FileNotFoundError(f"{name} is kept from the build by .dockerignore")
        else:
            shutil.copy(here, there / here.name if target.endswith("/") else there)


def _make_root(root: Path) -> Path:
    """Make the folders that the system is mounted on, and those that every image has."""
    root.mkdir(mode=0o755)
    for name in SYSTEM:
        here = Path("/") / name
        if here.is_symlink():
            (root / name).symlink_to(here.readlink())
        elif here.exists():
            (root / name).mkdir()
    for name in ("proc", "dev", "sys", "root", "opt", "home"):
        (root / name).mkdir()
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    shutil.copytree("/etc", root / "etc", symlinks=True, ignore_dangling_symlinks=True)
    return root


def _chroot(
    image: Image,
    script: str,
    inside: Mapping[str, str],
    user: str,
    volumes: Mapping[Path, str],
    network: bool,
) -> subprocess.CompletedProcess[str]:
    root = image.root
    mounts = [f"mount --rbind /{n} {root}/{n}" for n in SYSTEM if not (root / n).is_symlink()]
    mounts = [line for line in mounts if Path(line.split()[2]).exists()]
    mounts += [
        f"mount --bind {sys.base_prefix} {root}/usr/local",
        f"mount -o remount,bind,ro {root}/usr/local",
        f"mkdir -p {root}{sys.base_prefix}",  # where a shared libpython is looked for
        f"mount --bind {sys.base_prefix} {root}{sys.base_prefix}",
        f"mount -o remount,bind,ro {root}/usr",
        f"mount --rbind /proc {root}/proc",
        f"mount --rbind /dev {root}/dev",
        f"mount --rbind /sys {root}/sys",
    ]
    for here, there in volumes.items():
        (root / there.lstrip("/")).mkdir(parents=True, exist_ok=True)
        mounts.append(f"mount --bind {shlex.quote(str(here))} {root}{there}")
    variables = [f"{name}={value}" for name, value in inside.items()]
    enter = ["chroot", f"--userspec={user}", "--groups=", str(root), "env", "-i", *variables]
    whole = " && ".join([*mounts, f"exec {shlex.join([*enter, 'sh', '-c', script])}"])
    apart = ["unshare", "--mount", *(() if network else ("--net",))]
    return _call([*apart, "sh", "-c", whole])


def _pip_settings() -> dict[str, str]:
    """Give pip the index that it has here."""
    settings = {name: value for name, value in os.environ.items() if NETWORK.match(name)}
    for line in _pip("config", "list").splitlines():
        name, _, value = line.partition("=")
        kind, _, option = name.partition(".")
        if kind in ("global", "install"):
            settings.setdefault(f"PIP_{option.upper().replace('-', '_')}", value.strip("'\""))
    return settings


def _pip_folders() -> dict[Path, str]:
    """Find the folders that pip looks for wheels in: the second from the root, index and files."""
    words = re.findall(r"(?<![\w/])(?:file://)?(/[\w./+-]+)", _pip("config", "list"))
    folders = {Path(*Path(word).parts[:3]) for word in words if Path(word).is_dir()}
    return {folder: str(folder) for folder in sorted(folders) if folder.parts[1] not in SYSTEM}


def _pip(*words: str) -> str:
    return _call([sys.executable, "-m", "pip", *words]).stdout


def _call(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
