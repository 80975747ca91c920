"""A fake Hub on loopback serves models to the real client; nothing else is ever asked."""

import json
import socketserver
import threading
import time

import pytest

from strokeseg.errors import (
    CannotCreateError,
    ModelFormatError,
    UsageError,
    WeightsUnavailableError,
)
from strokeseg.models import registry as registry_module
from strokeseg.models.finding import fetch_model, find_model, load_model_files
from strokeseg.models.hub.cache import HubReference, parse_reference
from strokeseg.models.hub.progress import progress_arguments
from strokeseg.models.hub_settings import hub_settings, require_safe_address, shown_address
from strokeseg.models.registry import load_registry
from strokeseg.models.tensors import SECOND_FILE
from tests.fake_hub import running_hub
from tests.fake_hub import sha256 as digest_of
from tests.tiny_models import OWN, isolate, tiny_files, write_registry
from tests.two_stages import two_stage_files

REPOSITORY = "lab/tiny"
NAME = f"hub:{REPOSITORY}"
COMMIT = "c" * 40


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with running_hub() as server:
        isolate(monkeypatch, tmp_path / "home", server.endpoint)
        monkeypatch.setattr(time, "sleep", lambda _: None)
        yield server
    close_client()


def close_client():
    import huggingface_hub

    # Versions before 1.0 keep no session open.
    getattr(huggingface_hub, "close_session", lambda: None)()


def files(**changes):
    return tiny_files(**changes) | {"README.md": b"# tiny\n"}


def pinned(monkeypatch, tmp_path, **fields):
    """Make a registry with one published model, `tiny`, pinned to COMMIT."""
    fields = {"repository": REPOSITORY, "revision": COMMIT} | fields
    path = write_registry(tmp_path / "registry", {"tiny": fields}, "tiny")
    monkeypatch.setattr(registry_module, "registry_path", lambda: path)


def cached(tmp_path):
    """Give names of all files in the cache that hold weights, whole or in part."""
    root = tmp_path / "home" / "hub"
    return [p for p in root.rglob("*") if p.is_file() and p.stat().st_size > 10_000]


# --- what is fetched ---


def test_a_download_fetches_three_files_and_reads_as_the_model(hub, tmp_path):
    content = files()
    commit = hub.add(REPOSITORY, content | {"training.pt": b"x", "big.bin": b"y" * 99})
    said = []
    model = load_model_files(NAME, say=said.append)
    assert model.revision == commit
    assert model.sha256 == digest_of(content["model.safetensors"])
    assert model.config.window == 96
    assert sorted(p.name for p in model.folder.iterdir()) == sorted(content)
    assert model.folder.is_relative_to(tmp_path / "home" / "hub")
    assert any(model.sha256 in line for line in said)


@pytest.mark.parametrize(("own", "meant"), [({}, ("t1",)), ({"sequences": ["t2"]}, ("t2",))])
@pytest.mark.parametrize("name", [NAME, "tiny"])
def test_a_config_that_says_no_sequences_has_those_of_the_registry(
    hub, monkeypatch, tmp_path, name, own, meant
):
    pinned(monkeypatch, tmp_path, sequences=["t1"])
    hub.add(REPOSITORY, files(own=OWN | own), COMMIT)
    config = load_model_files(name).config
    assert config.sequences == meant
    assert (config.suits("t1"), config.suits("flair")) == ("t1" in meant, False)


def test_a_second_stage_is_fetched_with_the_first(hub):
    content = two_stage_files() | {"README.md": b"# two\n"}
    hub.add(REPOSITORY, content)
    model = load_model_files(NAME)
    assert (model.folder / SECOND_FILE).read_bytes() == content[SECOND_FILE]
    assert set(model.second_state) > {"head.weight"}
    hub.faults.garbled.add(SECOND_FILE)
    fetch_model(NAME, hub_settings(), load_registry(), force=True)
    with pytest.raises(WeightsUnavailableError, match=rf"{SECOND_FILE}: sha256 is"):
        load_model_files(NAME)


def test_nothing_but_the_three_files_is_asked_and_no_usage_is_reported(hub):
    hub.add(REPOSITORY, files())
    load_model_files(NAME)
    asked = {request.path for request in hub.requests if request.server == "hub"}
    assert asked == {f"/{REPOSITORY}/resolve/main/{name}" for name in files()}
    agents = {request.headers["user-agent"] for request in hub.requests}
    assert all(agent.startswith("strokeseg/") for agent in agents)
    assert not any("torch" in agent or "agent/" in agent for agent in agents)


def test_a_repository_without_a_card_is_fetched(hub):
    hub.add(REPOSITORY, tiny_files())
    assert sorted(p.name for p in load_model_files(NAME).folder.iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


def test_the_revision_that_is_asked_for_is_the_one_that_comes(hub):
    first = hub.add(REPOSITORY, files(seed=1))
    second = hub.add(REPOSITORY, files(seed=2))
    assert load_model_files(f"{NAME}@{first}").revision == first
    assert load_model_files(NAME).revision == second


def test_a_download_that_is_not_pinned_says_so_and_how_to_pin_it(hub):
    commit = hub.add(REPOSITORY, files())
    said = []
    load_model_files(NAME, say=said.append)
    pinned_name = f"{NAME}@{commit}"
    assert said[-1] == f"{NAME} is not pinned to a commit; this one is {pinned_name}"
    said.clear()
    fetch_model(pinned_name, hub_settings(), load_registry(), say=said.append, force=True)
    assert not any("not pinned" in line for line in said)


def test_a_download_tells_how_far_it_is_even_when_cut(hub):
    from huggingface_hub import hf_hub_download

    if not progress_arguments(hf_hub_download, print):
        pytest.skip("this huggingface_hub cannot tell")
    hub.faults.cuts = 1
    hub.add(REPOSITORY, files(channels=[16, 32, 32]))
    said = []
    load_model_files(NAME, say=said.append)
    percents = [int(line.split()[1]) for line in said if " % of " in line]
    assert percents == sorted(set(percents))
    assert percents[-1] == 100
    assert len(percents) >= 5


def test_a_download_is_quiet(hub, capfd):
    hub.faults.cuts = 1
    hub.add(REPOSITORY, files())
    load_model_files(NAME)
    assert capfd.readouterr() == ("", "")


def test_finding_without_permission_fetches_nothing(hub):
    hub.add(REPOSITORY, files())
    with pytest.raises(WeightsUnavailableError, match="strokeseg weights download hub:lab/tiny"):
        find_model(NAME, allow_download=False)
    assert hub.requests == []


# --- the cache ---


@pytest.mark.parametrize("name", [NAME, f"{NAME}@{COMMIT}", "tiny"])
def test_what_is_in_the_cache_is_used_without_a_request(hub, monkeypatch, tmp_path, name):
    pinned(monkeypatch, tmp_path)
    hub.add(REPOSITORY, files(), COMMIT)
    first = load_model_files(name)
    hub.requests.clear()
    again = load_model_files(name)
    assert (again.folder, again.sha256) == (first.folder, first.sha256)
    assert hub.requests == []


def test_offline_with_a_cache_works_and_without_one_says_what_to_do(hub, monkeypatch):
    commit = hub.add(REPOSITORY, files())
    with pytest.raises(WeightsUnavailableError, match="weights export hub:lab/tiny DIR") as caught:
        load_model_files(NAME, offline=True)
    assert caught.value.exit_code == 69
    assert "weights import DIR" in str(caught.value)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsUnavailableError, match="network is switched off"):
        load_model_files(NAME)
    assert hub.requests == []
    monkeypatch.delenv("HF_HUB_OFFLINE")
    load_model_files(NAME)
    hub.requests.clear()
    assert load_model_files(NAME, offline=True).revision == commit
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert load_model_files(NAME).revision == commit
    assert hub.requests == []


def test_weights_that_changed_in_the_cache_are_found_out(hub):
    hub.add(REPOSITORY, files())
    model = load_model_files(NAME)
    blob = (model.folder / "model.safetensors").resolve()
    content = blob.read_bytes()
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsUnavailableError, match=f"expected {model.sha256}.*--force"):
        load_model_files(NAME)
    fetch_model(NAME, hub_settings(), load_registry(), force=True)
    assert load_model_files(NAME).sha256 == model.sha256


def test_what_came_is_recorded_whole_in_a_file_of_its_own(hub, tmp_path):
    content = files()
    commit = hub.add(REPOSITORY, content)
    load_model_files(NAME)
    record = tmp_path / "home" / "strokeseg" / "recorded" / f"lab--tiny@{commit}.json"
    assert json.loads(record.read_text()) == {
        "repository": REPOSITORY,
        "revision": commit,
        "sha256": {n: digest_of(content[n]) for n in ("config.json", "model.safetensors")},
    }
    assert [p.name for p in record.parent.iterdir()] == [record.name]


def test_a_config_that_changed_after_it_was_recorded_is_found_out(hub):
    hub.add(REPOSITORY, files())
    model = load_model_files(NAME)
    path = (model.folder / "config.json").resolve()
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(WeightsUnavailableError, match=r"config\.json: sha256 is"):
        load_model_files(NAME)


def test_a_cache_filled_by_another_program_is_checked_by_the_name_of_its_blob(hub, tmp_path):
    hub.add(REPOSITORY, files())
    folder = load_model_files(NAME).folder
    for record in (tmp_path / "home" / "strokeseg" / "recorded").iterdir():
        record.unlink()
    assert load_model_files(NAME).folder == folder
    blob = (folder / "model.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    with pytest.raises(WeightsUnavailableError, match=f"expected {blob.name}"):
        load_model_files(NAME)


# --- wrong bytes ---


def test_wrong_bytes_leave_the_cache_again_and_both_checksums_are_named(hub, tmp_path):
    content = files()
    hub.add(REPOSITORY, content)
    hub.faults.garbled = {"model.safetensors"}
    right = digest_of(content["model.safetensors"])
    weights = content["model.safetensors"]
    wrong = digest_of(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(
        WeightsUnavailableError, match=f"sha256 {wrong}, expected {right}"
    ) as caught:
        load_model_files(NAME)
    assert caught.value.exit_code == 69
    assert cached(tmp_path) == []
    hub.faults.garbled = set()
    assert load_model_files(NAME).sha256 == right


def test_a_registry_checksum_that_differs_from_the_hubs_stops_before_the_bytes(
    hub, monkeypatch, tmp_path
):
    content = files()
    hub.add(REPOSITORY, content, COMMIT)
    pinned(monkeypatch, tmp_path, sha256="0" * 64)
    there = digest_of(content["model.safetensors"])
    with pytest.raises(WeightsUnavailableError, match=f"{there}, expected {'0' * 64}"):
        load_model_files("tiny")
    assert hub.sent("store") == []
    assert cached(tmp_path) == []


def test_a_registry_checksum_is_what_counts_where_the_hub_has_no_sha256(hub, monkeypatch, tmp_path):
    hub.faults.unhashed = True
    hub.add(REPOSITORY, files(), COMMIT)
    pinned(monkeypatch, tmp_path, sha256="0" * 64)
    with pytest.raises(WeightsUnavailableError, match=f"expected {'0' * 64}"):
        load_model_files("tiny")
    assert cached(tmp_path) == []


def test_weights_outside_lfs_are_checked_by_their_git_hash(hub, tmp_path):
    hub.faults.unhashed = True
    content = files()
    hub.add(REPOSITORY, content)
    assert load_model_files(NAME).sha256 == digest_of(content["model.safetensors"])
    hub.add("lab/other", files(seed=5))
    hub.faults.garbled = {"model.safetensors"}
    before = cached(tmp_path)
    with pytest.raises(WeightsUnavailableError, match="git hash"):
        load_model_files("hub:lab/other")
    assert cached(tmp_path) == before


def test_a_config_that_came_wrong_is_found_out_by_its_git_hash(hub, tmp_path):
    hub.add(REPOSITORY, files())
    hub.faults.garbled.add("config.json")
    with pytest.raises(WeightsUnavailableError, match=r"config\.json: .*git hash .* expected"):
        load_model_files(NAME)
    assert list((tmp_path / "home").rglob("config.json")) == []


def test_a_config_other_than_the_registrys_is_refused(hub, monkeypatch, tmp_path):
    content = files()
    hub.add(REPOSITORY, content, COMMIT)
    right = digest_of(content["config.json"])
    pinned(monkeypatch, tmp_path, config_sha256=right)
    hub.faults.garbled = {"config.json"}
    with pytest.raises(WeightsUnavailableError, match=rf"config\.json.*expected {right}"):
        load_model_files("tiny")
    hub.faults.garbled = set()
    assert load_model_files("tiny").revision == COMMIT


def test_registry_checksums_do_not_hold_for_another_revision(hub, monkeypatch, tmp_path):
    pinned(monkeypatch, tmp_path, sha256="0" * 64)
    other = hub.add(REPOSITORY, files(), "d" * 40)
    assert load_model_files(f"{NAME}@{other}").revision == other


# --- cut connections ---


def test_a_cut_download_goes_on_where_it_stopped(hub):
    content = files(channels=[16, 32, 32])
    total = len(content["model.safetensors"])
    assert total > 200_000
    hub.add(REPOSITORY, content)
    hub.faults.cuts = 2
    model = load_model_files(NAME)
    assert model.sha256 == digest_of(content["model.safetensors"])
    starts = [int(r.range.removeprefix("bytes=").rstrip("-")) for r in hub.sent("store") if r.range]
    assert len(starts) == 2
    assert 0 < starts[0] < starts[1] < total


def test_a_download_that_is_reset_is_tried_again(hub):
    content = files(channels=[16, 32, 32])
    hub.add(REPOSITORY, content)
    hub.faults.cuts = 1
    hub.faults.reset = True
    assert load_model_files(NAME).sha256 == digest_of(content["model.safetensors"])
    assert len(hub.sent("store")) == 2


def test_a_connection_that_is_cut_for_ever_ends_with_an_error_and_no_file(hub, tmp_path):
    hub.add(REPOSITORY, files())
    hub.faults.cuts = 10_000
    hub.faults.cut_at = 0.0
    with pytest.raises(
        WeightsUnavailableError, match="could not be reached or broke off"
    ) as caught:
        load_model_files(NAME)
    assert "HF_ENDPOINT" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert cached(tmp_path) == []
    assert len(hub.sent("store")) < 50


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_failure_of_the_hub_is_tried_again(hub, status):
    hub.add(REPOSITORY, files())
    hub.faults.passing = [status]
    assert load_model_files(NAME).config.window == 96


def test_a_lasting_failure_of_the_hub_is_not_tried_for_ever(hub):
    hub.faults.status = 503
    with pytest.raises(WeightsUnavailableError, match="answered 503; try again later"):
        load_model_files(NAME)
    assert len(hub.requests) <= 4


def test_a_hub_that_is_not_there_says_what_to_do(monkeypatch, tmp_path):
    with running_hub() as server:
        gone = server.endpoint
    isolate(monkeypatch, tmp_path / "home", gone)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(WeightsUnavailableError, match="could not be reached") as caught:
        load_model_files(NAME)
    assert "weights import" in str(caught.value)
    close_client()


# --- refusals ---


def test_a_repository_or_revision_that_does_not_exist_is_404(hub):
    with pytest.raises(WeightsUnavailableError, match=r"no such repository or file \(404\)"):
        load_model_files(NAME)
    hub.add(REPOSITORY, files())
    with pytest.raises(WeightsUnavailableError, match=r"not this revision \(404\)"):
        load_model_files(f"{NAME}@v9")


@pytest.mark.parametrize("status", [401, 403])
def test_no_access_names_the_token(hub, status):
    hub.faults.status = status
    with pytest.raises(WeightsUnavailableError, match=rf"\({status}\).*HF_TOKEN") as caught:
        load_model_files(NAME)
    assert caught.value.exit_code == 69
    assert len(hub.requests) == 1


def test_a_repository_of_pickles_is_refused_and_nothing_is_fetched(hub):
    hub.add(REPOSITORY, {"config.json": b"{}", "pytorch_model.bin": b"\x80\x04."})
    with pytest.raises(ModelFormatError, match=r"pytorch_model\.bin, a pickle"):
        load_model_files(NAME)
    assert [r for r in hub.sent("hub") + hub.sent("store") if "/api/" not in r.path] == []


def test_a_repository_without_weights_or_config_is_refused(hub):
    hub.add(REPOSITORY, {"config.json": b"{}"})
    with pytest.raises(ModelFormatError, match=r"has no model\.safetensors"):
        load_model_files(NAME)
    hub.add("lab/bare", {"model.safetensors": files()["model.safetensors"]})
    with pytest.raises(WeightsUnavailableError, match="404"):
        load_model_files("hub:lab/bare")


@pytest.mark.parametrize("endpoint", ["http://mirror.invalid", "ftp://127.0.0.1", "mirror", ""])
def test_an_endpoint_in_the_clear_is_refused(hub, monkeypatch, endpoint):
    if not endpoint:
        assert hub_settings(environment={}).endpoint == "https://huggingface.co"
        return
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(WeightsUnavailableError, match="is not https"):
        load_model_files(NAME)
    assert hub.requests == []


@pytest.mark.parametrize(
    "address", ["https://a.b", "http://localhost:1", "http://127.9.0.1/x", "http://[::1]:80"]
)
def test_https_and_loopback_are_safe_addresses(address):
    require_safe_address(address, what="it")


@pytest.mark.parametrize("address", ["http://localhost.evil.org", "http://127.0.0.1.evil.org"])
def test_names_that_look_like_loopback_are_not(address):
    with pytest.raises(WeightsUnavailableError):
        require_safe_address(address, what="it")


def test_passwords_and_signatures_in_addresses_are_not_told(hub, monkeypatch):
    assert shown_address("https://me:SECRET@h:1/a/b?sig=SECRET#SECRET") == "https://h:1/a/b"
    assert shown_address("mirror") == "mirror"
    hub.add(REPOSITORY, files())
    hub.faults.plain_location = "http://me:SECRET@store.invalid/x?sig=SECRET"
    with pytest.raises(WeightsUnavailableError, match="is not https") as caught:
        load_model_files(NAME)
    assert "SECRET" not in str(caught.value)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint.replace("//", "//me:SECRET@"))
    hub.faults.plain_location, said = None, []
    load_model_files(NAME, say=said.append)
    assert said
    assert not any("SECRET" in line for line in said)
    hub.faults.status = 500
    with pytest.raises(WeightsUnavailableError) as caught:
        load_model_files(f"hub:{REPOSITORY}@other", say=said.append)
    assert "SECRET" not in str(caught.value)


def test_a_redirect_into_the_clear_is_refused_before_the_bytes(hub):
    hub.add(REPOSITORY, files())
    hub.faults.plain_location = "http://store.invalid/x"
    with pytest.raises(WeightsUnavailableError, match=r"store\.invalid.* is not https"):
        load_model_files(NAME)


def test_a_small_file_that_is_sent_on_into_the_clear_is_refused(hub, tmp_path):
    hub.add(REPOSITORY, files())
    hub.faults.sent_on["config.json"] = "http://store.invalid/x"
    # Clients before 1.0 do not follow it, and what they take for the file is found out.
    told = r"store\.invalid.* is not https|config\.json: what came has git hash"
    with pytest.raises(WeightsUnavailableError, match=told):
        load_model_files(NAME)
    assert list((tmp_path / "home").rglob("config.json")) == []


def test_a_second_redirect_into_the_clear_is_refused(hub, tmp_path):
    hub.add(REPOSITORY, files())
    hub.faults.sent_on_again = "http://store.invalid/x"
    with pytest.raises(WeightsUnavailableError, match=r"store\.invalid.* is not https"):
        load_model_files(NAME)
    assert cached(tmp_path) == []
    assert hub.sent("store")


def test_no_other_client_takes_over_while_a_download_runs(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_ENABLE_HF_TRANSFER", True, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False, raising=False)
    seen = []

    def say(_line):
        seen.append((constants.HF_HUB_ENABLE_HF_TRANSFER, constants.HF_HUB_DISABLE_XET))

    hub.add(REPOSITORY, files())
    load_model_files(NAME, say=say)
    assert seen[0] == (False, True)
    assert (constants.HF_HUB_ENABLE_HF_TRANSFER, constants.HF_HUB_DISABLE_XET) == (True, False)


def test_the_client_is_left_as_it_was(hub):
    from huggingface_hub import get_session

    def state():
        session = get_session()
        return getattr(session, "event_hooks", None) or session.get_adapter

    hub.add(REPOSITORY, files())
    before = state()
    load_model_files(NAME)
    assert state() == before


def test_a_download_goes_through_the_proxy_that_the_environment_names(monkeypatch, tmp_path):
    close_client()
    asked = []

    class Proxy(socketserver.StreamRequestHandler):
        def handle(self):
            asked.append(self.rfile.readline().split())
            self.wfile.write(b"HTTP/1.1 502 no way\r\nContent-Length: 0\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        isolate(monkeypatch, tmp_path / "home", "https://hub.invalid")
        monkeypatch.setattr(time, "sleep", lambda _: None)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.server_address[1]}")
        with pytest.raises(WeightsUnavailableError, match="could not be reached"):
            load_model_files(NAME)
        server.shutdown()
    close_client()
    assert {tuple(words[:2]) for words in asked} == {(b"CONNECT", b"hub.invalid:443")}


def test_a_cache_that_cannot_be_written_says_so(hub, tmp_path):
    hub.add(REPOSITORY, files())
    (tmp_path / "home").write_text("a file where the folder should be")
    with pytest.raises(CannotCreateError, match="HF_HOME") as caught:
        load_model_files(NAME)
    assert caught.value.exit_code == 73


# --- names and settings ---


def test_references_are_read_and_written():
    assert parse_reference("hub:a/b") == HubReference("a/b")
    assert parse_reference("hub:a/b@v1.0") == HubReference("a/b", "v1.0")
    assert str(HubReference("a/b", "v1.0")) == "hub:a/b@v1.0"


@pytest.mark.parametrize(
    "text",
    [
        "hub:",
        "hub:a",
        "hub:a/b/c",
        "hub:../b",
        "hub:a/..",
        "hub:a/b@",
        "hub:a/b@../c",
        "hub:a--b/c",
        "hub:a/b c",
        "hub:a/" + "b" * 100,
        "hub:/b",
        "hub:a/b@-x",
    ],
)
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(UsageError, match="write hub:owner/name"):
        parse_reference(text)


def test_settings_follow_the_environment(tmp_path):
    home = str(tmp_path)
    settings = hub_settings(environment={"HF_HOME": home, "HF_ENDPOINT": "https://m.org/"})
    assert (settings.cache, settings.endpoint) == (tmp_path / "hub", "https://m.org")
    assert settings.state == tmp_path / "strokeseg"
    assert not settings.offline
    elsewhere = hub_settings(environment={"HF_HOME": home, "HF_HUB_CACHE": "/c"})
    assert str(elsewhere.cache) == "/c"
    assert str(hub_settings(environment={"XDG_CACHE_HOME": "/x"}).home) == "/x/huggingface"
    for value, offline in (("1", True), ("YES", True), ("0", False), ("", False)):
        assert hub_settings(environment={"HF_HUB_OFFLINE": value}).offline is offline
