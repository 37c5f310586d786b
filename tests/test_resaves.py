"""Models that are saved again pass the whole gate, not only its first stages."""

import pytest

from benchmarks import resaves


@pytest.mark.heavy
@pytest.mark.parametrize("family", ["llama", "qwen3_moe"])
def test_a_model_that_is_saved_again_is_neither_blocked_nor_left_open(family, tmp_path):
    import transformers

    here = transformers.__version__
    base = resaves.base_of(family, tmp_path / "base")
    again = resaves.saved_again(base, tmp_path / "again", tmp_path / "no other version")
    found = resaves.judged(base, again, family, here, here, tmp_path)

    assert found.code == 0, found.said
    assert found.held == 0  # bit for bit


@pytest.mark.heavy
def test_so_is_it_in_bfloat16(tmp_path):
    base = resaves.base_of("llama", tmp_path / "base")
    again = resaves.saved_again(base, tmp_path / "again", tmp_path)
    found = resaves.judged(base, again, "llama", "", "", tmp_path)

    assert found.code == 0, found.said
    assert found.held >= 12


@pytest.mark.heavy
@pytest.mark.nightly
def test_so_are_those_that_other_versions_save(tmp_path):
    """Installs them, so it takes a network."""
    rows = list(resaves.judged_all(tmp_path))

    assert len(rows) == 2 * len(resaves.FAMILIES) + 2 * len(resaves.OF_THE_FOURTH)
    assert not [row for row in rows if row.code]
