import gc
from qtpy.QtWidgets import QApplication
from napari_unet.widgets import make_train_panel
def test_a(make_napari_viewer, qtbot):
    v=make_napari_viewer()
    before=set(QApplication.topLevelWidgets())
    h=make_train_panel(v)
    v.window.add_dock_widget(h,name="x")
    after=set(QApplication.topLevelWidgets())
    print("NEW", [ (type(w), w.objectName(), w.parent()) for w in after-before])
    v.close()
    del h
    qtbot.wait(100); gc.collect()
    after=set(QApplication.topLevelWidgets())
    print("LEFT", [ (type(w), w.objectName()) for w in after])
    from superqt import QLabeledSlider
