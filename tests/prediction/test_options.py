import pytest

from strokeseg.errors import UsageError
from strokeseg.images.modalities import choose_reference, order_modalities
from strokeseg.prediction.options import Options


def test_known_modalities_come_first_in_their_order():
    given = {"swi": 1, "adc": 2, "flair": 3, "t1": 4, "asl": 5}
    assert order_modalities(given) == ("t1", "flair", "adc", "swi", "asl")


def test_the_reference_is_the_first_unless_one_is_named():
    assert choose_reference(("flair", "dwi"), None) == "flair"
    assert choose_reference(("flair", "dwi"), "dwi") == "dwi"


def test_a_reference_that_was_not_given_is_refused():
    with pytest.raises(UsageError, match="choose from flair"):
        choose_reference(("flair",), "t1")


def test_no_image_is_a_usage_error():
    with pytest.raises(UsageError, match="--t1 FILE"):
        choose_reference((), None)


def test_the_record_of_options_is_plain():
    assert Options(threshold=0.3).as_record()["threshold"] == 0.3
