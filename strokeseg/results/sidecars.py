"""The JSON beside each image of a result, as BIDS derivatives have it."""

from collections.abc import Mapping, Sequence
from typing import Any


def mask_sidecar(sources: Sequence[str], reference: str, model: str) -> Mapping[str, Any]:
    """Return the JSON beside the mask: the inputs, the one whose grid it is on, the model."""
    about = f"Stroke lesion, 1 inside and 0 outside, as found by the model {model}"
    label = {"L": "Lesion, by BIDS's abbreviation; not left"}
    return {"Type": "Lesion", "Manual": False, "Label": label} | _about_image(
        about, sources, reference
    )


def probability_sidecar(sources: Sequence[str], reference: str, model: str) -> Mapping[str, Any]:
    """Return the JSON beside the probability: the inputs, whose grid it is on, the model."""
    about = f"Probability of a stroke lesion, 0 to 1, not masked by the brain, by the model {model}"
    return {"Manual": False} | _about_image(about, sources, reference)


def mni_sidecar(native: Mapping[str, Any], found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the JSON beside an image in MNI152: what it is on its own grid, and how it came here.

    Parameters
    ----------
    native : mapping
        The JSON of the image on its own grid.
    found : mapping
        What the record says of the way: matrix, metric, volumes before and after.
    """
    about = f"{native['Description']}; brought to MNI152 by an affine"
    return {**native, "Description": about, "SpatialReference": "MNI152", "Transform": dict(found)}


def tissue_sidecar(sources: Sequence[str], reference: str, model: str) -> Mapping[str, Any]:
    """Return the JSON beside the classes; it describes the columns of their table too."""
    about = f"Tissues and stroke lesion, as found by the model {model}; the table names the classes"
    columns = {"volume_ml": {"Description": "Volume of the class", "Units": "mL"}}
    return {"Manual": False, **columns} | _about_image(about, sources, reference)


def parts_sidecar(sources: Sequence[str], reference: str, model: str) -> Mapping[str, Any]:
    """Return the JSON beside the parts of the lesion; their table is as that of the classes."""
    about = f"Parts of the stroke lesion, as found by the model {model}; the table names them"
    columns = {"volume_ml": {"Description": "Volume of the part", "Units": "mL"}}
    label = {"L": "Lesion, by BIDS's abbreviation; not left"}
    return {"Manual": False, "Label": label, **columns} | _about_image(about, sources, reference)


def uncertainty_sidecar(
    sources: Sequence[str], reference: str, flip_count: int
) -> Mapping[str, Any]:
    """Return the JSON beside the uncertainty image, which says what its two volumes are."""
    about = "Uncertainty of the segmentation, two volumes along the fourth axis"
    return {
        "Volumes": [
            {
                "Index": 0,
                "Name": "entropy",
                "Units": "nat",
                "Description": "Entropy of the mean posterior over the classes",
            },
            {
                "Index": 1,
                "Name": "standard deviation",
                "Units": "probability",
                "Description": "Standard deviation of the lesion probability over the flips",
                "Flips": flip_count,
            },
        ],
    } | _about_image(about, sources, reference)


def _about_image(about: str, sources: Sequence[str], reference: str) -> dict[str, Any]:
    """Return what BIDS wants to know of every image that is made from others."""
    return {
        "Description": about,
        "Sources": list(sources),
        "SpatialReference": reference,
    }
