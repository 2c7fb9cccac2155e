"""The panel in a viewer with a window: menus, docks, themes, and closing at any moment."""

from __future__ import annotations

import subprocess
import sys
import threading

import napari
import numpy as np
import pytest
from napari.utils._proxies import PublicOnlyProxy
from npe2 import PluginManifest
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QDockWidget, QLabel

from napari_unet.data.normalisation import Normalisation
from napari_unet.errors import InputError
from napari_unet.model import TrainedModel
from napari_unet.network.unet_config import UNetConfig
from napari_unet.widgets.panel import (
    TITLE,
    PanelHost,
    find_host,
    find_panel,
    make_predict_panel,
    make_train_panel,
    open_panel,
    run_prediction,
    toggle_training,
)
from napari_unet.widgets.qt.style import WIDTH, Palette
from napari_unet.widgets.train.page import WAY_BACK
from tests.widgets.conftest import PATIENCE, two_classes

NAME = "napari-unet-live"


@pytest.fixture
def plugin(npe2pm):
    """Our manifest as napari finds it."""
    manifest = PluginManifest.from_distribution(NAME)
    with npe2pm.tmp_plugin(manifest=manifest):
        yield manifest


def dock(viewer, page="Train"):
    host = {"Train": make_train_panel, "Predict": make_predict_panel}[page](viewer)
    viewer.window.add_dock_widget(host, name=page)
    return host.panel


def our_threads():
    return [t for t in threading.enumerate() if t.name == "napari-unet"]


def begin_training(viewer, panel, qtbot):
    image, strokes = two_classes()
    viewer.add_image(image)
    viewer.add_labels(strokes)
    panel.train.form.net_size.setValue("small")
    panel.train.form.budget.setValue({"seconds": 600})
    qtbot.mouseClick(panel.train.footer.train, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.train.progress.plot.training.size >= 2, timeout=PATIENCE)
    assert our_threads()


def gone(thing):
    from qtpy.QtWidgets import QWidget

    try:
        QWidget.isVisible(thing)
    except RuntimeError:
        return True
    return False


def test_the_panel_opens_at_once_and_without_torch():
    import subprocess
    import sys

    code = "import sys, napari_unet.widgets.panel; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "False\n", done.stderr


def test_both_menu_entries_lead_to_one_panel(viewer, plugin, qtbot):
    dock_train, host = viewer.window.add_plugin_dock_widget(NAME, "Train")
    panel = host.panel
    assert panel.tabs.currentWidget() is panel.train
    dock_predict, other = viewer.window.add_plugin_dock_widget(NAME, "Predict")
    assert other.panel is panel
    assert panel.tabs.currentWidget() is panel.predict
    qtbot.waitUntil(lambda: gone(dock_train))
    assert list(viewer.window.dock_widgets) == [f"Predict ({NAME})"]
    _, again = viewer.window.add_plugin_dock_widget(NAME, "Train")
    assert again.panel is panel
    assert panel.tabs.currentWidget() is panel.train
    qtbot.waitUntil(lambda: gone(dock_predict))
    assert find_panel(viewer) is panel


@pytest.mark.parametrize("first", ["Train", "Predict"])
def test_the_title_of_the_dock_is_true_of_both_pages(viewer, plugin, qtbot, first):
    place, host = viewer.window.add_plugin_dock_widget(NAME, first)

    def titles():
        bar = place.titleBarWidget()
        return {place.windowTitle(), *(label.text() for label in bar.findChildren(QLabel))} - {""}

    qtbot.waitUntil(lambda: titles() == {TITLE})
    host.panel.show_page("predict")
    place.setFloating(True)  # napari makes another title bar
    qtbot.waitUntil(lambda: titles() == {TITLE})
    assert list(viewer.window.dock_widgets) == [f"{first} ({NAME})"]


def test_what_runs_goes_on_when_the_panel_moves(viewer, qtbot):
    panel = dock(viewer)
    begin_training(viewer, panel, qtbot)
    assert dock(viewer, "Predict") is panel
    size = panel.train.progress.plot.training.size
    qtbot.waitUntil(lambda: panel.train.progress.plot.training.size > size, timeout=PATIENCE)
    panel.train.runner.stop()
    qtbot.waitUntil(lambda: not panel.train.runner.running, timeout=PATIENCE)
    assert len(panel.session.models) == 1


@pytest.mark.parametrize("floating", [False, True])
def test_it_stays_where_the_user_put_it(viewer, qtbot, floating):
    panel = dock(viewer)
    window = viewer.window._qt_window
    place = find_host(viewer).parentWidget()
    assert isinstance(place, QDockWidget)
    if floating:
        place.setFloating(True)
    else:
        window.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, place)
    assert dock(viewer, "Predict") is panel
    place = find_host(viewer).parentWidget()
    qtbot.waitUntil(
        lambda: (
            place.isFloating() == floating
            and (floating or window.dockWidgetArea(place) == Qt.DockWidgetArea.LeftDockWidgetArea)
        )
    )


def test_each_viewer_has_a_panel_of_its_own(make_napari_viewer, notes):
    first, second = make_napari_viewer(), make_napari_viewer()
    assert dock(first) is not dock(second)
    assert find_panel(first) is not find_panel(second)


def test_napari_may_pass_a_proxy_or_nothing(viewer):
    host = open_panel(PublicOnlyProxy(viewer), "train")
    viewer.window.add_dock_widget(host, name="one")
    assert host.panel is dock(None or napari.current_viewer(), "Predict")


def test_without_a_viewer_it_says_so(monkeypatch):
    monkeypatch.setattr(napari, "current_viewer", lambda: None)
    with pytest.raises(InputError, match="There is no viewer"):
        make_train_panel()


def close_dock(viewer):
    """Press the × of the dock."""
    find_host(viewer).parentWidget().destroyOnClose()


def previews(viewer):
    return [x.name for x in viewer.layers if "preview" in x.metadata.get("napari_unet", {})]


def test_the_training_goes_on_while_the_dock_is_closed(viewer, qtbot, notes):
    panel = dock(viewer)
    begin_training(viewer, panel, qtbot)
    qtbot.waitUntil(lambda: previews(viewer) != [], timeout=PATIENCE)
    host = find_host(viewer)
    close_dock(viewer)
    qtbot.waitUntil(lambda: gone(host))
    assert find_panel(viewer) is None
    assert previews(viewer) == []
    assert not viewer.keymap
    assert notes == [("info", f"The training goes on. {WAY_BACK}")]
    size = panel.train.progress.plot.training.size
    qtbot.waitUntil(lambda: panel.train.progress.plot.training.size > size + 3, timeout=PATIENCE)
    assert previews(viewer) == []
    viewer.theme = "light"
    assert dock(viewer, "Train") is panel
    assert panel.train.runner.running
    assert not panel.isHidden()
    assert panel.train.form.budget.value() == {"seconds": 600}
    qtbot.waitUntil(lambda: previews(viewer) != [], timeout=PATIENCE)
    # It ends while the dock is closed.
    close_dock(viewer)
    panel.train.runner.stop()
    qtbot.waitUntil(lambda: len(notes) == 3, timeout=PATIENCE)
    assert notes[-1] == ("info", f"The training has ended. {WAY_BACK}")
    assert our_threads() == []
    assert dock(viewer) is panel
    assert panel.session.models == [panel.train.training.model]
    qtbot.waitUntil(lambda: previews(viewer) != [], timeout=PATIENCE)


def test_a_viewer_closed_after_its_dock_ends_the_training(viewer, qtbot):
    panel = dock(viewer)
    begin_training(viewer, panel, qtbot)
    close_dock(viewer)
    viewer.close()
    qtbot.waitUntil(lambda: our_threads() == [], timeout=PATIENCE)
    qtbot.waitUntil(lambda: gone(panel))


def test_the_processes_of_a_closed_panel_end_when_nothing_runs(viewer, qtbot, monkeypatch):
    panel, closed = dock(viewer), []
    monkeypatch.setattr(panel.session.worker, "close", lambda: closed.append(1))
    begin_training(viewer, panel, qtbot)
    close_dock(viewer)
    qtbot.wait(50)
    assert closed == []
    panel.train.runner.stop()
    qtbot.waitUntil(lambda: closed == [1], timeout=PATIENCE)


def test_what_was_set_is_there_when_the_panel_is_opened_again(viewer, qtbot):
    first = dock(viewer)
    model = TrainedModel(UNetConfig(), {}, Normalisation("none", (0.0,), (1.0,)))
    named = first.session.add("mine", model)
    first.train.tasks.choice.setValue("denoise")
    first.train.form.budget.setValue({"steps": 123})
    close_dock(viewer)
    second = dock(viewer, "Predict")
    assert second is first
    assert second.predict.form.model.value() is named
    assert second.train.form.budget.value() == {"steps": 123}
    assert second.tabs.currentWidget() is second.predict
    assert [str(key) for key in viewer.keymap] == ["Shift+T", "Shift+R", "Shift+N"]


def test_the_dock_hidden_while_training_goes_on(viewer, qtbot):
    panel = dock(viewer)
    begin_training(viewer, panel, qtbot)
    find_host(viewer).parentWidget().close()
    size = panel.train.progress.plot.training.size
    qtbot.waitUntil(lambda: panel.train.progress.plot.training.size > size, timeout=PATIENCE)
    panel.train.runner.stop()
    qtbot.waitUntil(lambda: not panel.train.runner.running, timeout=PATIENCE)


def test_the_viewer_closed_while_training_ends_the_thread(viewer, qtbot):
    panel = dock(viewer)
    begin_training(viewer, panel, qtbot)
    viewer.close()
    qtbot.waitUntil(lambda: our_threads() == [], timeout=PATIENCE)
    qtbot.waitUntil(lambda: gone(panel))


def test_the_viewer_closed_while_paused_ends_the_thread(viewer, qtbot):
    panel = dock(viewer)
    begin_training(viewer, panel, qtbot)
    qtbot.mouseClick(panel.train.footer.pause, Qt.MouseButton.LeftButton)
    viewer.close()
    qtbot.waitUntil(lambda: our_threads() == [], timeout=PATIENCE)


def test_it_follows_the_theme(room):
    for theme in ("light", "dark"):
        room.viewer.theme = theme
        palette = Palette.of(theme)
        assert palette.accent in room.panel.styleSheet()
        background = room.panel.train.progress.plot._plot.backgroundBrush().color()
        assert background == QColor(palette.background)


def test_it_fits_a_small_screen(room):
    room.form.advanced_section.button.click()
    room.form.net_size.setValue("custom")
    room.qtbot.wait(20)
    assert room.panel.minimumSizeHint().width() <= 380
    assert room.panel.minimumSizeHint().height() <= 500


def test_no_name_makes_the_panel_wider(room):
    image, strokes = two_classes()
    room.open(image, strokes)
    long = "an_experiment_with_a_name_of_the_kind_that_microscopes_give_to_files_003"
    room.wait(lambda: room.form.strokes.table.rowCount() == 2)
    room.form.strokes.table.item(0, 1).setText(long)
    room.train(steps=2)
    panel = room.panel
    (named,) = panel.session.models
    panel.show_page("predict")
    panel.predict.choose(named, room.form.image.layer())
    for page in (panel.train, panel.predict):
        page.notice.say("name", f"“{long}” was removed.", "error")
    room.qtbot.wait(20)
    assert long in panel.predict.form.info.text()
    assert panel.minimumSizeHint().width() <= WIDTH + 10


def test_keys_start_training_and_prediction(viewer, qtbot, notes):
    panel = dock(viewer)
    for key, text in (("Shift+T", "no image"), ("Shift+R", "no model")):
        (bound,) = [k for k in viewer.keymap if str(k) == key]
        viewer.keymap[bound](viewer)
        assert text in panel.tabs.currentWidget().notice.text()
    assert notes == []
    assert panel.tabs.currentWidget() is panel.predict


def test_commands_without_a_panel_open_it(viewer, plugin):
    toggle_training(viewer)
    panel = find_panel(viewer)
    assert panel.tabs.currentWidget() is panel.train
    assert not panel.train.runner.running
    find_host(viewer).parentWidget().destroyOnClose()
    run_prediction(viewer)
    assert find_panel(viewer).tabs.currentWidget() is find_panel(viewer).predict


def test_the_sample_trains_from_the_first_click(viewer, plugin, qtbot):
    viewer.open_sample(NAME, "cells2d")
    panel = dock(viewer)
    form = panel.train.form
    assert form.image.layer().name == "cells2d"
    assert form.labels.layer().name == "strokes"
    form.net_size.setValue("small")
    form.budget.setValue({"steps": 2})
    qtbot.waitUntil(lambda: len(form.strokes.painted.pixels) == 3)
    qtbot.mouseClick(panel.train.footer.train, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel.train.runner.running, timeout=PATIENCE)
    classes = panel.session.models[0].model.classes
    assert [c.name for c in classes] == ["gland", "stroma", "lumen"]
    qtbot.mouseClick(panel.train.footer.predict, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel.predict.runner.running, timeout=PATIENCE)
    result = viewer.layers["cells2d – prediction"]
    assert result.data.shape == (512, 512)
    assert set(np.unique(result.data)) <= {1, 2, 3}


def test_a_host_that_nobody_docked_can_be_thrown_away(viewer, qtbot):
    host = open_panel(viewer, "train")
    assert isinstance(host, PanelHost)
    panel = host.panel
    host.deleteLater()
    qtbot.waitUntil(lambda: gone(host))
    assert gone(panel)


def test_the_viewers_process_never_imports_torch():
    """Seconds in which the viewer would stand still, and memory that would not come back."""
    code = (
        "import importlib, pkgutil, sys, napari_unet.widgets as w\n"
        "for m in pkgutil.walk_packages(w.__path__, w.__name__ + '.'):\n"
        "    importlib.import_module(m.name)\n"
        "import napari_unet.tasks.segmentation.data, napari_unet.tasks.plan\n"
        "import napari_unet.inference.request, napari_unet.postprocessing.refine\n"
        "import napari_unet.model\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
