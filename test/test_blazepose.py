import copy

import flatbuffers
import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from pandapose_ros.model.blazepose import BlazePose
from pandapose_ros.model.tflite_graph import Operation, TfliteGraph, parse_tflite
from pandapose_ros.model.tflite_modules import module_of, widens_channels
from pandapose_ros.model_files import LANDMARK_NET, PERSON_DETECTOR, find_model_file

# Numbers of the tensors in the file, which the module has to find by itself.
LANDMARKS, PRESENCE, WORLD = 337, 342, 339
FEATURES = (279, 277, 275)


@pytest.fixture(scope="module")
def path():
    return find_model_file(LANDMARK_NET)


@pytest.fixture(scope="module")
def net(path):
    return BlazePose(path.read_bytes())


@pytest.fixture(scope="module")
def crops():
    rng = np.random.default_rng(0)
    noise = rng.random((3, 256, 256), np.float32)
    v, u = np.mgrid[:256, :256] / np.float32(256)
    figure = np.stack([(abs(u - 0.5) < 0.1) * v, np.hypot(u - 0.5, v - 0.2) < 0.08, 1 - u])
    return torch.from_numpy(np.stack([noise, figure.astype(np.float32)]))


@pytest.mark.filterwarnings("ignore:.*preserve_all_tensors")
def test_it_computes_what_the_file_says(path, net, crops):
    interpreter = Interpreter(str(path), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    with torch.inference_mode():
        output = net(crops)
    for i, crop in enumerate(crops):
        tensor = interpreter.get_input_details()[0]["index"]
        interpreter.set_tensor(tensor, crop.permute(1, 2, 0).numpy()[None])
        interpreter.invoke()
        landmarks = interpreter.get_tensor(LANDMARKS).reshape(39, 5)
        np.testing.assert_allclose(output.landmarks_px[i], landmarks[:, :2] - 0.5, atol=0.01)
        sigmoid = 1 / (1 + np.exp(-landmarks[:35, 3]))
        np.testing.assert_allclose(output.visibilities[i, :35], sigmoid, atol=1e-4)
        # Ours: the palms' tell turns, and MediaPipe's net knows of none.
        np.testing.assert_allclose(output.visibilities[i, 35:], [1, 0, 0, 0], atol=1e-4)
        presence = interpreter.get_tensor(PRESENCE)[0, 0]
        np.testing.assert_allclose(output.presences[i], presence, atol=1e-4)
        world = interpreter.get_tensor(WORLD).reshape(39, 3)
        np.testing.assert_allclose(output.world_landmarks[i], world, atol=1e-3)
        for level, number in zip(output.features, FEATURES, strict=True):
            expected = interpreter.get_tensor(number)[0].transpose(2, 0, 1)
            np.testing.assert_allclose(level[i], expected, atol=0.01)


def test_a_batch_gives_what_single_crops_give(net, crops):
    before = crops.clone()
    with torch.inference_mode():
        together = net(crops)
        alone = [net(crops[i : i + 1]) for i in range(2)]
    assert torch.equal(crops, before)
    for i in range(2):
        for name in ("landmarks_px", "visibilities", "presences", "world_landmarks"):
            torch.testing.assert_close(
                getattr(together, name)[i], getattr(alone[i], name)[0], atol=1e-3, rtol=1e-4
            )
        for level, single in zip(together.features, alone[i].features, strict=True):
            torch.testing.assert_close(level[i], single[0], atol=1e-2, rtol=1e-4)


def test_no_crops_are_no_error(net):
    with torch.inference_mode():
        output = net(torch.zeros(0, 3, 256, 256))
    assert output.landmarks_px.shape == (0, 39, 2)
    assert [level.shape for level in output.features] == [
        (0, 48, 64, 64),
        (0, 48, 32, 32),
        (0, 48, 16, 16),
    ]


def test_it_is_frozen(net):
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert not any(module.training for module in copy.deepcopy(net).train().modules())


def test_the_segmentation_is_left_out(net, path):
    graph = parse_tflite(path.read_bytes())
    assert sum(p.numel() for p in net.parameters()) == 3_165_729
    assert len(net.steps) < len(graph.operations) - 20


def test_a_crop_of_another_size_is_refused(net):
    with pytest.raises(ValueError, match=r"expected crops \[B, 3, 256, 256\], got \[1, 3, 64, 64"):
        net(torch.zeros(1, 3, 64, 64))


def test_other_bytes_are_refused():
    with pytest.raises(ValueError, match="expected the bytes of a TFLite file"):
        BlazePose(b"no network at all")
    with pytest.raises(ValueError, match="sparse"):
        BlazePose(find_model_file(PERSON_DETECTOR).read_bytes())


def change_operation(content, old, new):
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for code in model.operatorCodes:
        if max(code.builtinCode, code.deprecatedBuiltinCode) == old:
            code.builtinCode = code.deprecatedBuiltinCode = new
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_an_unknown_operation_is_named(path):
    operators = schema.BuiltinOperator
    content = change_operation(path.read_bytes(), operators.LOGISTIC, operators.TANH)
    with pytest.raises(ValueError, match=r"operation TANH .* is not known: expected MediaPipe"):
        BlazePose(content)


def channel_padding(pads):
    """An operation as only the heavy net has it."""
    constants = (np.array(pads, np.int32),)
    return Operation(kind="PAD", inputs=(0,), constants=constants, output=1, options={})


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
def test_channels_are_added_behind_the_others():
    graph = TfliteGraph((), (0,), (1,), {0: (1, 2, 2, 3), 1: (1, 2, 2, 5)})
    widened = channel_padding([[0, 0], [0, 0], [0, 0], [0, 2]])
    assert widens_channels(widened)
    narrow = torch.rand(2, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    module = module_of(widened, graph, 0)
    wide = module(narrow)
    assert torch.equal(wide[:, :3], narrow)
    assert torch.equal(wide[:, 3:], torch.zeros(2, 2, 2, 2))
    traced = torch.jit.trace(module, narrow)  # as the export does
    assert traced(narrow[:1]).shape == (1, 5, 2, 2)
    assert not widens_channels(channel_padding([[0, 0], [1, 1], [1, 1], [0, 0]]))
    for pads in ([[0, 0], [0, 0], [0, 0], [1, 2]], [[0, 0], [1, 1], [0, 0], [0, 2]]):
        with pytest.raises(ValueError, match=r"padding by .* is not known"):
            module_of(channel_padding(pads), graph, 0)


def test_a_missing_output_is_named(path):
    operators = schema.BuiltinOperator
    content = change_operation(
        path.read_bytes(), operators.RESIZE_BILINEAR, operators.RESIZE_NEAREST_NEIGHBOR
    )
    with pytest.raises(ValueError, match=r"no tensors of shape \[\(1, 64, 64, 48\)"):
        BlazePose(content)
