import pytest

torch = pytest.importorskip("torch")

from strokeseg.training.config import read_config  # noqa: E402
from strokeseg.training.data.sources import load_sources  # noqa: E402
from tests.training.heads import config_text, write_heads, write_lesions  # noqa: E402


@pytest.fixture(scope="package", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    write_heads(folder / "maps")
    write_lesions(folder / "lesions")
    return folder


@pytest.fixture(scope="session")
def make_config(data_folder, tmp_path_factory):
    def make(**sections):
        path = tmp_path_factory.mktemp("config") / "tiny.toml"
        path.write_text(config_text(data_folder, **sections))
        return read_config(path)

    return make


@pytest.fixture(scope="session")
def config(make_config):
    return make_config()


@pytest.fixture(scope="session")
def sources(config):
    return load_sources(config.data)


@pytest.fixture(scope="session")
def held_out(config):
    return load_sources(config.data, held_out=True)
