"""Options in groups: folded, searched, marked where they are changed, and reset."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_unet.tasks.option_groups import GROUPS, group_of, in_order
from napari_unet.tasks.options import OPTIONS
from napari_unet.widgets.forms.advanced import ELSEWHERE
from napari_unet.widgets.forms.grouped_form import OTHER, GroupedForm
from tests.widgets.train.test_image_tasks import choose


@pytest.fixture
def advanced(painted):
    painted.click(painted.form.advanced_section.button)
    return painted.form.advanced


def shown(form):
    return {name for name, row in form.rows.items() if row.label.isVisible()}


def titles(form):
    return [section.title for section in form.sections.values() if section.isVisible()]


@pytest.mark.parametrize("task", OPTIONS)
def test_every_option_is_in_one_group(task):
    everything = [name for names in GROUPS.values() for name in names]
    assert len(set(everything)) == len(everything)
    assert set(OPTIONS[task].model_fields) <= set(everything)
    assert in_order(OPTIONS[task].model_fields) == [
        name for name in everything if name in OPTIONS[task].model_fields
    ]


@pytest.mark.parametrize("task", OPTIONS)
def test_no_group_is_empty_and_none_is_long(qtbot, task):
    form = GroupedForm(OPTIONS[task](), exclude=ELSEWHERE)
    qtbot.addWidget(form)
    assert OTHER not in form.sections
    assert list(form.sections) == [group for group in GROUPS if group in form.sections]
    for group in form.sections:
        rows = [name for name in form.rows if group_of(name) == group]
        assert 1 <= len(rows) <= 13


def test_groups_are_folded_until_they_are_opened(painted, advanced):
    form = advanced.form
    assert shown(form) == set()
    painted.click(form.sections["Validation"].button)
    assert shown(form) == {"held_out", "split", "test_every", "stop_after"}


def test_a_search_shows_the_options_it_is_about_and_then_all_is_as_before(painted, advanced):
    form = advanced.form
    painted.click(form.sections["Computer"].button)
    painted.qtbot.keyClicks(advanced.search, "Gradient clip")
    assert shown(form) == {"clip_gradient"}
    assert titles(form) == ["Optimiser"]
    advanced.search.setText("tversky")
    assert shown(form) == {"loss", "tversky_alpha"}
    advanced.search.setText("no such thing")
    assert shown(form) == set()
    assert not form._nothing.isHidden()
    painted.qtbot.keyClick(advanced.search, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    painted.qtbot.keyClick(advanced.search, Qt.Key.Key_Delete)
    assert shown(form) == {"device", "threads", "make_way", "read_ahead"}
    assert titles(form) == list(form.sections)


def test_what_is_changed_is_marked_and_reset(painted, advanced):
    form = advanced.form
    begun = form.value()
    assert not advanced.reset.isEnabled()
    form.editors["clip_gradient"].check.click()
    form.editors["momentum"].setValue(0.8)
    assert form.changed() == ["momentum", "clip_gradient"]
    assert form.rows["momentum"].label.property("unet") == "changed"
    assert "Default: 0.9." in form.rows["momentum"].label.toolTip()
    assert "Default: off." in form.rows["clip_gradient"].label.toolTip()
    assert form.sections["Optimiser"].title == "Optimiser (2 changed)"
    painted.click(advanced.reset)
    assert form.value() == begun
    assert form.changed() == []
    assert form.rows["momentum"].label.property("unet") != "changed"
    assert form.sections["Optimiser"].title == "Optimiser"
    assert not advanced.reset.isEnabled()


def test_the_usual_learning_rate_of_a_training_that_goes_on_is_no_change(painted, advanced):
    painted.train()
    (model,) = painted.panel.session.models
    rate = advanced.form.editors["learning_rate"]
    painted.form.start.setValue(model)
    assert rate.value() == 0.003
    assert advanced.form.changed() == []
    rate.setValue(0.01)
    assert advanced.form.changed() == ["learning_rate"]
    painted.click(advanced.reset)
    assert rate.value() == 0.003
    painted.form.start.setValue(None)
    assert (rate.value(), advanced.form.changed()) == (0.006, [])


def test_names_are_those_of_the_field(room, notes):
    form = choose(room, "denoise").advanced.form
    names = [form.editors["optimiser"].itemText(i) for i in range(3)]
    assert names == ["AdamW", "Adam", "SGD"]
    assert form.rows["planes"].label.text() == "Planes read together"
    assert form.editors["planes"].check.text() == "automatic"
    assert form.editors["stop_after"].check.text() == "off"
    assert form.editors["threads"].check.text() == "all"
    split = form.editors["split"]
    assert [split.itemText(i) for i in range(2)] == ["Places", "Whole images"]
