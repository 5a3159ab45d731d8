import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from segfuse_train import classes, losses, origin, pictures, views
from segfuse_train.batches import RARE, Source, class_weights, draw, stream, with_rare_things
from segfuse_train.classes import IGNORED
from segfuse_train.conditions import CONDITIONS, conditions, table, under
from segfuse_train.curve import learning_curve
from segfuse_train.network import SIZES, STRIDE, Network
from segfuse_train.score import equal_labels, figures, predict, score
from segfuse_train.train import Recipe, Run, annealed, answer_loss, answer_of

CPU = torch.device("cpu")
RECIPE = Recipe(size="tiny", rows=96, cols=160, steps=60, batch=4, moved=1, rate=4e-3)


def source_of(camvid, select=None):
    found = pictures.read(f"camvid:{camvid}", None, select)
    return Source(found, 1.0, class_weights(found))


@pytest.mark.parametrize("size", SIZES)
def test_the_head_is_light_and_the_features_are_few(size):
    network = Network(size).eval()
    features = network.backbone(torch.zeros(1, 3, 384, 640))
    assert features.shape == (1, SIZES[size].eighth, 384 // STRIDE, 640 // STRIDE) and features.shape[1] <= 64
    assert network.head(features).shape == (1, 19, 48, 80)
    weights = lambda module: sum(p.numel() for p in module.parameters())
    assert weights(network.head) < 0.1 * weights(network.backbone)


def test_the_probabilities_of_all_that_a_label_covers_count():
    covers = torch.from_numpy(classes.load("camvid").covers)[None]
    building = classes.load("camvid").names.index("building")
    logits = torch.full((1, 19, 1, 2), -20.0)
    logits[0, classes.NAMES.index("wall"), 0, 0] = 20.0
    logits[0, classes.NAMES.index("road"), 0, 1] = 20.0
    loss = losses.covered(logits.log_softmax(1), torch.full((1, 1, 2), building), covers)
    assert loss[0, 0, 0] < 1e-4 and loss[0, 0, 1] > 5


def test_a_teacher_is_heard_within_what_the_label_covers():
    covers = torch.from_numpy(classes.load("camvid").covers)[None]
    names = classes.load("camvid").names
    teacher = torch.zeros(1, 19, 1, 3)
    for name, part in (("car", 0.2), ("bus", 0.3), ("road", 0.5)):
        teacher[0, classes.NAMES.index(name)] = part
    label = torch.tensor([[[names.index("car"), names.index("sky"), 255]]])
    target = losses.conditioned(teacher, label, covers)
    assert target[0, classes.NAMES.index("bus"), 0, 0].item() == pytest.approx(0.6)
    assert target[0, :, 0, 1].sum() == 0
    assert target[0, classes.NAMES.index("road"), 0, 2].item() == pytest.approx(0.5)


def test_a_teacher_that_is_not_sure_is_heard_only_where_a_label_rules_the_rest_out():
    best = torch.tensor([0.4, 0.5, 0.65, 0.8, 1.0])
    teacher = torch.stack([best, 1 - best, torch.zeros(5)])[None, :, None]
    alone, labelled = torch.full((1, 1, 5), IGNORED), torch.zeros(1, 1, 5, dtype=torch.long)
    assert torch.allclose(losses.belief(teacher, alone), torch.tensor([1 / 3, 0, 0.5, 1, 1]), atol=1e-6)
    assert torch.equal(losses.belief(teacher, labelled), torch.ones(1, 1, 5))


def test_what_a_doubting_teacher_says_of_an_unlabelled_picture_changes_nothing(camvid):
    batch = draw([source_of(camvid)], RECIPE.form(0), 1, 5).exposed()
    batch.label[:] = IGNORED
    logits = torch.randn(len(batch.label), 19, 12, 20, generator=torch.Generator().manual_seed(1))
    loss = lambda: answer_loss(logits, batch, Recipe(teacher_share=1.0)).item()
    batch.taught[:] = True
    batch.teacher = torch.full_like(batch.teacher, 1 / 19)
    assert loss() == 0
    batch.teacher[:] = 0
    batch.teacher[:, 3] = 1
    assert loss() > 0


def test_logits_that_say_the_same_are_alike_and_small_classes_count_as_much_as_large_ones():
    example = torch.randn(2, 19, 6, 10, generator=torch.Generator().manual_seed(1))
    assert losses.unlike(example, example).item() == pytest.approx(0, abs=1e-5)
    assert losses.unlike(example + 3, example).item() == pytest.approx(0, abs=1e-5), "softmax knows no common shift"
    # A class that is certain on one cell, and one that is on half of them, each forgotten where it was.
    example = torch.zeros(1, 19, 6, 10)
    example[0, 5, 2, 7], example[0, 0, :, :5] = 40.0, 40.0
    found = {}
    for which in (5, 0):
        without = example.clone()
        without[0, which] = 0.0
        found[which] = losses.unlike(without, example).item()
    assert found[5] > found[0] > 1, found


def test_the_log_of_an_area_cares_most_for_what_is_hardly_found_and_a_share_for_all_alike():
    # Of each class a hundred pixels in one view, found in part: one pole in fifty, and nine in ten of the road.
    covers = torch.eye(19)[None]
    label = torch.cat([torch.full((1, 10, 10), 5), torch.zeros(1, 10, 10, dtype=torch.long)], 2)
    found = torch.tensor([0.02, 0.9], requires_grad=True)
    probabilities = torch.zeros(1, 19, 10, 20)
    probabilities = probabilities.index_put(
        (torch.tensor(0), torch.tensor(5)), torch.nn.functional.pad(found[0].expand(10, 10), (0, 10))
    )
    probabilities = probabilities.index_put(
        (torch.tensor(0), torch.tensor(0)), torch.nn.functional.pad(found[1].expand(10, 10), (10, 0))
    )
    for area in (losses.jaccard, losses.jaccard_of_each):
        share = area(probabilities, label, covers)
        assert share.item() == pytest.approx(1 - (0.02 + 0.9) / 2, abs=1e-5)
        pole, road = torch.autograd.grad(share, found, retain_graph=True)[0]
        assert pole.item() == pytest.approx(road.item())
        log = area(probabilities, label, covers, losses.LOG)
        expected = -(np.log((2 + 20) / 120) + np.log((90 + 20) / 120)) / 2
        assert log.item() == pytest.approx(expected, abs=1e-5)
        pole, road = torch.autograd.grad(log, found, retain_graph=True)[0]
        assert pole.item() == pytest.approx(road.item() * 110 / 22, rel=1e-4), "as much more as it is less found"
    nothing = torch.full_like(label, IGNORED)
    assert losses.jaccard(probabilities, nothing, covers, losses.LOG) == 0


def test_a_run_counts_areas_as_it_is_told(camvid):
    batch = draw([source_of(camvid)], RECIPE.form(0), 1, 5).exposed()
    logits = torch.randn(len(batch.label), 19, 12, 20, generator=torch.Generator().manual_seed(1))
    loss = lambda **told: answer_loss(logits, batch, Recipe(**told)).item()
    for name in ("jaccard_share", "each_share"):
        others = {"jaccard_share": 0.0, "each_share": 0.0}
        none = loss(**others)
        share, log = (loss(**others | {name: 1.0, "areas": areas}) - none for areas in losses.AREAS)
        assert 0 < share < 1 < log, (name, share, log)


def test_a_network_comes_nearer_to_the_larger_one_whose_answers_it_learns(camvid, tmp_path):
    torch.set_num_threads(1)
    source, judged = source_of(camvid), pictures.read(f"camvid:{camvid}")
    large = Run(tmp_path / "large", replace(RECIPE, size="small", steps=40), torch.device("cpu"))
    large.train([source], [])
    shown = draw([source], RECIPE.form(RECIPE.steps), 9, 9).exposed().image

    def apart(run):
        answers = (network.eval()(shown) for network in (run.average.module, large.average.module))
        with torch.no_grad():
            return losses.unlike(*answers).item()

    found = []
    for share in (0.0, 3.0):
        recipe = replace(RECIPE, steps=40, distilled_share=share, example_scale=1.5)
        run = Run(tmp_path / str(share), recipe, torch.device("cpu"), example=tmp_path / "large" / "network.pt")
        run.train([source], judged)
        found.append(apart(run))
    assert found[1] < 0.8 * found[0], found


def test_the_larger_network_is_shown_larger_views_and_is_not_changed():
    torch.manual_seed(1)
    example = Network("tiny").eval()
    before = {name: value.clone() for name, value in example.state_dict().items()}
    answer = answer_of(example, torch.rand(1, 3, 96, 160), 1.5, False)
    assert answer.shape == (1, 19, 128 // STRIDE, 256 // STRIDE), "whole cells of 32 pixels"
    assert all(torch.equal(value, before[name]) for name, value in example.state_dict().items())
    assert not answer.requires_grad


def test_a_run_that_learns_from_another_larger_network_does_not_go_on(camvid, tmp_path):
    for name, seed in (("one", 1), ("other", 2)):
        Run(tmp_path / name, replace(RECIPE, steps=0, seed=seed), torch.device("cpu")).finish([])
    recipe = replace(RECIPE, distilled_share=1.0)
    run = Run(tmp_path / "run", recipe, torch.device("cpu"), example=tmp_path / "one" / "network.pt")
    run.checkpoint.save(run.step)
    Run(tmp_path / "run", recipe, torch.device("cpu"), example=tmp_path / "one" / "network.pt")
    with pytest.raises(SystemExit, match="another network to answer like"):
        Run(tmp_path / "run", recipe, torch.device("cpu"), example=tmp_path / "other" / "network.pt")


def test_figures_count_over_the_whole_set_and_what_no_class_covers_is_wrong():
    table = classes.ClassTable("two", ("a", "b"), (0, 1), np.eye(2, 19, dtype=np.float32))
    result = figures(np.array([[6, 2, 2], [0, 10, 0]]), table)
    assert result["per_class"] == {"a": 60.0, "b": 83.33} and result["miou"] == 71.67
    assert result["pixel_accuracy"] == 80.0


def test_a_thread_and_several_processes_draw_the_same(camvid):
    source, steps = source_of(camvid), range(3, 8)
    by_one, by_two = (
        [batch.image for batch in stream([source], RECIPE.form, steps, 1, workers, CPU)] for workers in (1, 2)
    )
    assert len(by_one) == len(by_two) == len(steps)
    assert all(torch.equal(one, two) for one, two in zip(by_one, by_two))


def test_a_draw_depends_on_seed_and_step_alone(camvid):
    source = source_of(camvid)
    first, again, other = (draw([source], RECIPE.form(0), 1, step).exposed() for step in (5, 5, 6))
    assert torch.equal(first.image, again.image) and torch.equal(first.label, again.label)
    assert not torch.equal(first.image, other.image)


def test_rare_things_are_pasted_with_their_label_and_their_teachers_opinion(camvid):
    source = source_of(camvid)
    for place, picture in enumerate(source.pictures):
        picture.teacher = torch.full((19, 24, 40), 10 * place, dtype=torch.uint8)
    form = replace(RECIPE, batch=1, moved=0, pasted_part=1.0).form(RECIPE.steps)
    car, more = classes.load("camvid").names.index("car"), 0
    assert source.weights[car] > RARE > source.weights[classes.load("camvid").names.index("road")]
    for seed in range(12):
        random = np.random.default_rng(seed)
        view = views.look(source.pictures[0], np.eye(2, 3), form.rows, form.cols)
        result = with_rare_things(view, source, form, random)
        new = (result.label != view.label) | (result.image[:, ::2, ::2] != view.image[:, ::2, ::2]).any(0)
        assert (result.label[new] == car).all() and result.taught
        heard = result.teacher[0] > 0
        assert not heard[~new[::2, ::2]].any()
        more += int(heard.sum())
    assert more > 100


def test_a_network_learns_and_a_run_that_was_cut_off_ends_the_same(camvid, tmp_path):
    learnt, held = pictures.hold_out(0.2)
    source, judged = source_of(camvid, learnt), pictures.read(f"camvid:{camvid}", None, held)
    torch.set_num_threads(1)
    whole = Run(tmp_path / "whole", RECIPE, torch.device("cpu")).train([source], judged)
    assert whole["miou"] > 75, whole
    cut = Run(tmp_path / "cut", RECIPE, torch.device("cpu"))
    with pytest.raises(SystemExit) as ended:
        stop_after(cut, 25).train([source], judged)
    assert ended.value.code == 130
    resumed = Run(tmp_path / "cut", RECIPE, torch.device("cpu"))
    assert resumed.step == 25
    assert resumed.train([source], judged) == whole


def test_rates_rise_then_fall_and_end_at_the_least():
    rates = [annealed(step, 100, 10, 0.02) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True) and rates[9] > 0.95
    assert rates[50] == pytest.approx(0.5) and rates[99] == 0.02


def stop_after(run, steps):
    """The run, in whose step `steps` Ctrl-C is pressed."""
    update = run.average.update_parameters

    def counted(network):
        update(network)
        if run.step + 1 == steps:
            os.kill(os.getpid(), signal.SIGINT)

    run.average.update_parameters = counted
    return run


def test_another_recipe_does_not_go_on_from_a_checkpoint(camvid, tmp_path):
    run = Run(tmp_path, RECIPE, torch.device("cpu"))
    run.checkpoint.save(run.step)
    with pytest.raises(SystemExit, match="another recipe"):
        Run(tmp_path, replace(RECIPE, rate=1e-3), torch.device("cpu"))


def test_a_learning_curve_keeps_its_points_of_the_same_and_draws_them(camvid, tmp_path, capsys):
    start = tmp_path / "start"
    begun = Run(start, replace(RECIPE, steps=0), torch.device("cpu"))
    begun.finish([])
    found = pictures.read(f"camvid:{camvid}")
    few = replace(RECIPE, steps=2)
    points = learning_curve([0, 2], found[:10], found[10:], few, start / "network.pt", tmp_path / "curve", CPU)
    assert json.loads((tmp_path / "curve" / "curve.json").read_text()) == points and set(points) == {"0", "2"}
    assert (tmp_path / "curve" / "curve.png").stat().st_size > 1000
    again = learning_curve([2, 0], found[:10], found[10:], few, start / "network.pt", tmp_path / "curve", CPU)
    assert again == points
    for changed, told in (
        ((found[:9], found[10:], few), "set of pictures"),
        ((found[:10], found[11:], few), "set of judged pictures"),
        ((found[:10], found[10:], replace(few, steps=3)), r"recipe \(steps 2, here 3\)"),
    ):
        with pytest.raises(SystemExit, match=f"curve.json: of a curve with another {told}; take another --out"):
            learning_curve([0, 2], *changed, start / "network.pt", tmp_path / "curve", CPU)
    (tmp_path / "curve" / "made_from.json").unlink()
    assert learning_curve([0], found[:10], found[10:], few, start / "network.pt", tmp_path / "curve", CPU) == points
    assert "does not tell its recipe, start network" in capsys.readouterr().out


def test_the_score_needs_no_size_of_the_pictures(camvid):
    found = pictures.read(f"camvid:{camvid}")[:2]
    assert 0 <= score(Network("tiny"), found, 64, 96)["miou"] <= 100


def test_masks_are_compared_with_the_networks_own_labels(camvid, tmp_path):
    network = Network("tiny").eval()
    found = pictures.read(f"camvid:{camvid}")[:2]
    for picture in found:
        labels = predict(network, picture, 96, 160)
        if picture is found[1]:
            labels[: labels.shape[0] // 4] = 255
        Image.fromarray(labels).save(tmp_path / f"{picture.name}.png")
    result = equal_labels(network, found, tmp_path, 96, 160)
    assert result == {"pictures": 2, "equal": 87.5, "worst": 75.0, "worst_picture": found[1].name}
    with pytest.raises(SystemExit, match="no such mask"):
        equal_labels(network, pictures.read(f"camvid:{camvid}"), tmp_path, 96, 160)


def test_conditions_are_figures_and_a_picture_of_each(camvid, tmp_path):
    found = pictures.read(f"camvid:{camvid}")[:2]
    result = conditions(Network("tiny").eval(), found, 96, 160, tmp_path)
    assert list(result) == list(CONDITIONS) == list(json.loads((tmp_path / "conditions.json").read_text()))
    assert all(0 <= figures["miou"] <= 100 and len(figures["per_class"]) > 2 for figures in result.values())
    assert Image.open(tmp_path / "conditions.jpg").size == (640, len(CONDITIONS) * 192)
    lines = [line.rsplit(maxsplit=2) for line in table(result).splitlines()[1:]]
    shown = lambda name, one: [name, f"{one['miou']:.2f}", f"{one['pixel_accuracy']:.2f}"]
    assert lines == [shown(name, one) for name, one in result.items()]
    seen = {name: under(found[0], light).image.float() for name, light in CONDITIONS.items()}
    assert seen["night"].mean() < 0.5 * seen["dusk"].mean() < 0.5 * seen["as taken"].mean()
    assert seen["dense fog"].std() < seen["fog"].std() < seen["as taken"].std()


def test_a_set_of_pictures_is_told_from_one_that_differs_in_anything_that_is_learnt(camvid):
    def digest(change=lambda picture: None, share=1.0):
        found = pictures.read(f"camvid:{camvid}")[:2]
        change(found[1])
        return origin.of_sources([Source(found, share, torch.ones(19))])

    def later(picture):
        picture.later = pictures.Later(picture.image, picture.label, torch.zeros(2, 2, 2))

    changed = [
        digest(lambda picture: picture.image[0, 0, 0].add_(1)),
        digest(lambda picture: picture.label[0, 0].add_(1)),
        digest(lambda picture: setattr(picture, "name", "another")),
        digest(lambda picture: setattr(picture, "teacher", torch.zeros(19, 2, 2, dtype=torch.uint8))),
        digest(later),
        digest(share=2.0),
    ]
    assert digest() == digest() and len({digest(), *changed}) == 1 + len(changed)
