"""Folders of empty files: cases are found by names alone, no image is opened."""

from pathlib import Path


def tree(root: Path, *files: str) -> Path:
    """Make empty files below a folder, with their folders; gives the folder."""
    root.mkdir(parents=True, exist_ok=True)
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def found(cohort):
    """Images of a cohort by case and modality, relative to its root where they lie in it."""
    base = cohort.root if cohort.root.is_dir() else cohort.root.parent
    return {
        case.name: {name: path.relative_to(base).as_posix() for name, path in case.images.items()}
        for case in cohort.cases
    }
