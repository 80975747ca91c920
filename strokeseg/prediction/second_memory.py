"""How much memory a second look takes, at most: where all of a scan is looked at."""

from strokeseg.models.second_stage import SecondStage


def second_look_bytes(
    second: SecondStage, first_classes: int, voxels: int, kept_bytes: int
) -> tuple[int, int]:
    """Predict a second look at a scan.

    Parameters
    ----------
    second
        The stage.
    first_classes
        Of the stage before it.
    voxels
        Of the scan on the second stage's grid.
    kept_bytes
        Up to how much the logits of all windows are kept.

    Returns
    -------
    room, kept : int
        While it looks, and of what it said; without its engine.
    """
    spec, classes = second.spec, second.spec.out_channels
    i, j, k = (-(-second.crop // step) * step for step in spec.stride_product)
    windows = min(second.most_crops * 4 * classes * i * j * k, kept_bytes)
    # The scan normalised, with what that takes; the first stage's logits, and those as shares; what
    # is seen, twice; sums, their mean and what is kept of it; weights and log-odds.
    each = 20 + 8 * first_classes + 8 * spec.in_channels + 12 * classes + 16
    return windows + voxels * each, voxels * (4 * classes + 1)
