"""The network's editor and its table."""

from __future__ import annotations

import pytest

from napari_unet.network.architecture import parameter_count, shape_table
from napari_unet.network.cost import network_cost
from napari_unet.network.presets import PRESETS
from napari_unet.network.registry import preset
from napari_unet.network.unet_config import UNetConfig
from napari_unet.widgets.forms.network import (
    PUBLISHED,
    NetworkEditor,
    NetworkTable,
    starting_points,
)


@pytest.fixture
def editor(qtbot):
    editor = NetworkEditor()
    qtbot.addWidget(editor)
    return editor


@pytest.fixture
def table(qtbot):
    table = NetworkTable()
    qtbot.addWidget(table)
    return table


def test_every_starting_point_can_be_chosen_and_taken_as_it_is(editor):
    for config in starting_points().values():
        editor.start.setValue(config)
        assert editor.value() == config


def test_everything_but_the_channels_can_be_edited(editor):
    shown = set(editor.form.editors)
    assert shown == set(UNetConfig.model_fields) - {"kind", "in_channels", "out_channels"}


def test_every_published_network_can_be_started_from(editor):
    assert {preset(name) for name in PRESETS} <= set(starting_points().values())
    assert set(PUBLISHED) == set(PRESETS)


def test_each_kind_has_its_own_form(editor):
    editor.show()
    editor.start.setValue(preset("fcn8s"))
    assert set(editor.form.editors) == {"ndim", "finest", "width", "dropout", "readout"}
    fcn = editor.form
    fcn.editors["width"].setValue(0.25)
    assert editor.value() == preset("fcn8s", width=0.25)
    editor.start.setValue(preset("fcdensenet67"))
    assert not fcn.isVisible()
    assert editor.form.isVisible()
    editor.form.editors["blocks"].setText("3, 4")
    editor.form.editors["ndim"].setValue(3)
    assert editor.value() == preset("fcdensenet67", blocks=(3, 4), ndim=3)
    editor.start.setValue(preset("fcn8s"))
    assert editor.form is fcn
    assert editor.value() == preset("fcn8s")


def test_a_change_in_any_form_is_told(editor, qtbot):
    for name in ("fcn8s", "fcdensenet56", "semantic2d"):
        editor.setValue(preset(name))
        with qtbot.waitSignal(editor.valueChanged):
            editor.form.editors["ndim"].setValue(3)


def test_other_dimensions_reset_what_is_set_per_axis(editor):
    editor.form.editors["ndim"].setValue(3)
    config = editor.value()
    assert config.ndim == 3
    assert set(config.kernels) == {(3, 3, 3)}
    assert config.encoder == UNetConfig.sized("medium").encoder


def test_the_table_says_what_the_core_says(table):
    config = UNetConfig.preset("ronneberger2015")
    table.set_network(config)
    table.input_size.setText("572, 572")
    rows = shape_table(config, (572, 572))
    assert table.table.rowCount() == len(rows)
    for y, row in enumerate(rows):
        assert table.table.item(y, 0).text() == row.name
        assert table.table.item(y, 1).text() == " × ".join(map(str, row.shape))
        assert table.table.item(y, 2).text() == f"{row.channels:,}"
    assert f"{parameter_count(config):,}" in table.facts.text()
    assert "is 184 × 184 pixels larger" in table.facts.text()
    assert "188, 204, 220" in table.facts.text()


def test_axes_that_differ_are_listed_one_by_one(table):
    config = UNetConfig.sized("small", 3, spacing=(45, 5, 5))
    table.set_network(config)
    z, y, _ = config.geometry
    assert f"z: {z.smallest_input}" in table.facts.text()
    assert f"y, x: {y.smallest_input}" in table.facts.text()


def test_a_size_that_does_not_fit_is_refused_with_those_that_do(table):
    table.set_network(UNetConfig.preset("ronneberger2015"))
    table.input_size.setText("570, 572")
    assert "556 or 572" in table.reason.text()
    assert "556 × 572 by cropping, 572 × 572 by padding" in table.facts.text()
    assert table.table.rowCount() == 0
    table.input_size.setText("572")
    assert "2 whole numbers" in table.reason.text()
    table.input_size.setText("572, 572")
    assert table.reason.isHidden()
    assert "Nearest" not in table.facts.text()
    assert table.table.rowCount() > 0


def test_what_it_costs_is_told_for_the_size_that_is_typed(table):
    config = preset("fcn8s")
    table.set_network(config)
    table.input_size.setText("64, 96")
    found = network_cost(config, (64, 96))
    facts = table.facts.text()
    assert "output 64 × 96;" in facts
    assert f"{found.flops_per_voxel / 1000:,.0f} GFLOP per million pixels" in facts
    # 134 million weights: with gradient, moments and average five times four bytes each.
    assert found.training_bytes > 20 * 134e6
    assert "2.7 GB to train" in facts
    table.input_size.setText("20, 96")
    assert "32 × 96 by padding" in table.facts.text()
    assert "cropping" not in table.facts.text()
    table.input_size.setText("none")
    assert "2 whole numbers" in table.reason.text()


def test_another_network_gets_a_size_that_fits(table):
    for config in starting_points().values():
        table.set_network(config)
        assert table.reason.isHidden()
        assert table.table.rowCount() > 0


def test_where_there_is_no_network_the_reason_is_shown(table):
    table.set_network(UNetConfig())
    table.set_network(None, "Because.")
    assert table.facts.text() == "Because."
    assert table.table.isHidden()
    assert not table.input_size.isVisible()
    assert table.table.rowCount() == 0
