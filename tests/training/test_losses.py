import pytest
import torch
from torch.nn import functional

from strokeseg.network.torch_half import pack
from strokeseg.training.data.pairs import BRAIN, UNKNOWN
from strokeseg.training.fitting.losses import packed_loss, segmentation_loss
from strokeseg.training.settings import LossConfig

PLAIN = LossConfig(lesion_weight=1, lesion_dice_weight=1)


@pytest.fixture
def logits():
    return torch.randn((2, 4, 6, 6, 6), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def target():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 4, (2, 6, 6, 6), generator=generator).to(torch.uint8)


def one_hot(target):
    return functional.one_hot(target.long(), 4).movedim(-1, 1).float()


def test_cross_entropy_is_torchs_with_the_lesions_weight(logits, target):
    config = LossConfig(lesion_weight=3, lesion_dice_weight=1)
    weight = torch.tensor([1.0, 1, 1, 3])
    expected = functional.cross_entropy(logits, target.long(), weight=weight)
    dice = segmentation_loss(logits, target, PLAIN) - functional.cross_entropy(
        logits, target.long()
    )
    torch.testing.assert_close(segmentation_loss(logits, target, config), expected + dice)


def test_dice_leaves_the_background_out(target):
    perfect = 50 * one_hot(target)
    assert segmentation_loss(perfect, target, PLAIN) < 1e-3
    background = torch.zeros_like(target)
    wrong = segmentation_loss(50 * one_hot(background), target, PLAIN)
    assert wrong > 10


def test_a_hard_target_and_its_one_hot_give_the_same_loss(logits, target):
    hard = segmentation_loss(logits, target, LossConfig())
    soft = segmentation_loss(logits, one_hot(target), LossConfig())
    torch.testing.assert_close(hard, soft)


def test_tversky_weighs_false_positives_of_the_lesion(target):
    everything = one_hot(torch.full_like(target, 3)) * 50
    nothing = one_hot(torch.zeros_like(target)) * 50
    strict = LossConfig(lesion_weight=1, lesion_dice_weight=1, tversky=(0.7, 0.3))
    assert segmentation_loss(everything, target, strict) > segmentation_loss(
        everything, target, PLAIN
    )
    assert segmentation_loss(nothing, target, strict) <= segmentation_loss(nothing, target, PLAIN)


def test_the_distance_of_the_warm_up_ends(logits, target):
    config = LossConfig(l2_steps=10, l2_target=5)
    early = segmentation_loss(logits, target, config, step=9)
    expected = ((logits - (2 * one_hot(target) - 1) * 5) ** 2).mean()
    torch.testing.assert_close(early, expected)
    late = segmentation_loss(logits, target, config, step=10)
    torch.testing.assert_close(late, segmentation_loss(logits, target, LossConfig()))


@pytest.mark.parametrize("step", [0, 100])
def test_unknown_tissue_does_not_pull_on_the_tissues(logits, target, step):
    config = LossConfig(l2_steps=50)
    known = torch.where(target == 3, 3, UNKNOWN).to(torch.uint8)
    logits = logits.requires_grad_()
    loss = segmentation_loss(logits, known, config, step=step, partly_known=True)
    assert loss.isfinite()
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[:, 3].abs().max() > 0
    if step < 50:
        other = (known == UNKNOWN)[:, None].expand(-1, 3, -1, -1, -1)
        assert not gradient[:, :3][other].any()
    swapped = logits[:, [1, 0, 2, 3]]
    same = segmentation_loss(swapped, known, config, step=step, partly_known=True)
    if step > 50:
        torch.testing.assert_close(loss, same)


def test_a_fully_known_batch_is_not_changed_by_partial_knowledge(logits, target):
    torch.testing.assert_close(
        segmentation_loss(logits, target, LossConfig()),
        segmentation_loss(logits, target, LossConfig(), partly_known=True),
    )


@pytest.mark.parametrize("partly_known", [False, True])
def test_the_loss_of_packed_logits_is_that_of_the_unpacked(partly_known):
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn((2, 3, 8, 4, 6), generator=generator)
    target = torch.randint(0, 3, (2, 8, 4, 6), generator=generator).to(torch.uint8)
    if partly_known:
        target[0, :3] = UNKNOWN
        target[1, 5:] = BRAIN
    plain = segmentation_loss(logits, target, LossConfig(), partly_known=partly_known)
    packed = packed_loss(pack(logits), [], target, LossConfig(), partly_known=partly_known)
    torch.testing.assert_close(packed, plain)


@pytest.mark.parametrize("partly_known", [False, True])
def test_coarse_logits_are_held_against_the_shares_of_their_voxels(partly_known):
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn((1, 3, 8, 8, 8), generator=generator)
    target = torch.randint(0, 3, (1, 1, 1, 1), generator=generator).to(torch.uint8)
    target = target.expand(1, 8, 8, 8).clone()
    config = LossConfig(coarse_weight=0.5)
    right = 20 * functional.one_hot(target.long(), 3).movedim(-1, 1).float()
    wrong = right.roll(1, dims=1)
    if partly_known:
        target[:, :4] = UNKNOWN

    def loss(coarse):
        levels = [functional.avg_pool3d(coarse, 4)]
        return packed_loss(pack(logits), levels, target, config, partly_known=partly_known)

    alone = packed_loss(pack(logits), [], target, config, partly_known=partly_known)
    assert loss(wrong) > loss(right) + 1
    assert loss(right) - alone < 0.5


def test_each_false_voxel_of_a_sample_without_lesion_counts():
    target = torch.zeros((1, 8, 8, 8), dtype=torch.uint8)

    def cost(false_voxels, smooth):
        """Give the Dice loss of so many voxels called lesion."""
        logits = torch.zeros((1, 4, 8 * 8 * 8))
        logits[:, 0] = 40.0
        logits[:, 3, :false_voxels] = 80.0
        config = LossConfig(lesion_weight=1, empty_smooth_vox=smooth)
        whole = segmentation_loss(logits.reshape(1, 4, 8, 8, 8), target, config)
        crossed = functional.cross_entropy(logits.reshape(1, 4, 8, 8, 8), target.long())
        return float(whole - crossed)

    # Nearly all of Dice is lost with the first few, where nothing is smoothed ...
    assert cost(400, 1.0) - cost(100, 1.0) < 0.02
    # ... and each counts where it is: half of the Dice loss is the lesion's.
    counted = (200 / 700 - 50 / 550) / 2
    assert cost(400, 500.0) - cost(100, 500.0) == pytest.approx(counted, rel=1e-3)
    assert cost(0, 500.0) == pytest.approx(cost(0, 1.0), abs=1e-4)


def test_a_voxel_of_the_brain_is_no_background_and_of_any_tissue():
    target = torch.full((1, 2, 2, 2), BRAIN, dtype=torch.uint8)

    def loss(number):
        logits = torch.zeros((1, 4, 2, 2, 2))
        logits[:, number] = 20.0
        return float(segmentation_loss(logits, target, LossConfig(), partly_known=True))

    assert loss(1) == pytest.approx(loss(2), abs=1e-4)
    assert loss(0) > loss(1) + 15
    assert loss(3) > loss(1) + 15
