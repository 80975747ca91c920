"""What a text must be to start the names of files, on every disk and in every program."""

import re

LONGEST_BYTES = 200  # a file's name may have 255, of which ours ends and hidden ones take 55

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Names that Windows, and disks that it shares, keep for devices, whatever their ending.
_DEVICE = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\xb9\xb2\xb3]) *([.:].*)?", re.IGNORECASE
)
_DRIVE = re.compile(r"[A-Za-z]:")
_FORMULA = "=+@"


def name_fault(name: str) -> str:
    """Say what keeps a text from starting the names of files; empty if nothing does.

    It must be no path, not hidden, printable, no device's or drive's name, not too long, and
    nothing that the command line takes for an option or a spreadsheet for a formula.
    """
    if not name.strip():
        return "is empty"
    if name.startswith("."):
        return "starts with a dot, which hides it"
    if "/" in name or "\\" in name:
        return "holds a slash" if "/" in name else "holds a backslash"
    if _CONTROL.search(name):
        return "holds a control character"
    if name != name.strip() or name.endswith("."):
        return "ends with a dot" if name.endswith(".") else "starts or ends with a space"
    if name.startswith("-"):
        return "starts with a dash, which programs take for an option"
    if name[0] in _FORMULA:
        return f"starts with {name[0]}, which spreadsheets take for a formula"
    if _DEVICE.fullmatch(name) or _DRIVE.match(name):
        return "is a device's or a drive's name on Windows"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "is not UTF-8"
    return f"has {size} bytes, over {LONGEST_BYTES}" if size > LONGEST_BYTES else ""
