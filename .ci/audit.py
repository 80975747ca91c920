"""Known vulnerabilities of what is installed: found ones fail, a service out of reach is said.

Run it with the Python of the environment that is to be checked, which has pip-audit.
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

# Advisories that do not concern this project, by their id, each with the reason.
ACCEPTED: dict[str, str] = {}
# PyPI's own feed first; OSV where a mirror does not pass that on.
SERVICES = ("pypi", "osv")


def main() -> int:
    """Ask the services in turn; gives the exit code."""
    if importlib.util.find_spec("pip_audit") is None:
        say(["is not installed: pip install -c constraints.txt -e '.[test]'"])
        return 1
    silent = []
    for service in SERVICES:
        report, reason = ask(service)
        if any("vulns" in package for package in report):
            lines, code = judge(report, service)
            say(lines)
            return code
        silent.append(f"{service}: {reason or 'knows none of the packages'}")
    say([f"not checked: advisory service unreachable ({'; '.join(silent)})"])
    return 0


def ask(service: str) -> tuple[list[dict[str, Any]], str]:
    """Run pip-audit; gives what it says of each package, or else why it says nothing."""
    command = [sys.executable, "-m", "pip_audit", "--local", "--skip-editable", "--format", "json"]
    command += ["--progress-spinner", "off", "--timeout", "10", "--vulnerability-service", service]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return [], said[-1][:100]
    return found, ""


def judge(report: list[Mapping[str, Any]], service: str) -> tuple[list[str], int]:
    """Say what was found, in lines, and whether it passes."""
    checked = [package for package in report if "vulns" in package]
    lines = [f"{len(checked)} of {len(report)} packages checked by {service}"]
    code, used = 0, set()
    for package in checked:
        for found in package["vulns"]:
            names = {found["id"], *found.get("aliases", ())}
            known = sorted(names & ACCEPTED.keys())
            used.update(known)
            fixed = ", ".join(found.get("fix_versions", ())) or "no version yet"
            what = f"{package['name']} {package['version']}: {found['id']}, fixed in {fixed}"
            lines.append(f"accepted: {what}: {ACCEPTED[known[0]]}" if known else f"FOUND: {what}")
            code = code if known else 1
    lines += [f"no longer found, take it off the list: {name}" for name in ACCEPTED.keys() - used]
    lines += [
        f"not checked: {package['name']} ({package['skip_reason']})"
        for package in report
        if "skip_reason" in package
    ]
    return lines, code


def say(lines: list[str]) -> None:
    """Write lines to stdout."""
    sys.stdout.write("".join(f"pip-audit: {line}\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
