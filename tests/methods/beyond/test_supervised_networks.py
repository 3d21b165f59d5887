"""ACMR and DSCMR against loops, closed forms, and what their released programs do."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from cmbench.datasets.draft import Split
from cmbench.methods.beyond.acmr import ACMR, ACMRReleased, Reversal, hardest_negatives
from cmbench.methods.beyond.dscmr import DSCMR, matrix_norm, pair_loss, row_norm
from cmbench.methods.registry import load_method


def pairs_of(n=60, classes=3, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    means = [random.normal(size=(classes, width)) for width in (8, 6)]
    views = [(2 * mean[labels] + random.normal(size=(n, mean.shape[1]))).astype(np.float32) for mean in means]
    return Split(*views, labels=labels, ids=np.arange(n).astype(str))


def test_reversal_turns_the_gradient_round():
    codes = torch.tensor([1.0, 2.0], requires_grad=True)
    (Reversal.apply(codes, 0.3) ** 2).sum().backward()
    torch.testing.assert_close(codes.grad, -0.3 * 2 * codes.detach())
    codes.grad = None
    (Reversal.apply(codes, 0.0) ** 2).sum().backward()
    assert torch.equal(codes.grad, torch.zeros(2))


def test_negatives_are_those_of_brute_force_where_all_cosines_are_negative_too():
    random = np.random.default_rng(0)
    for features in (random.normal(size=(12, 5)), random.normal(size=(12, 5)) - 5 * np.eye(12, 5)):
        labels = np.arange(12) % 3
        found, there = hardest_negatives(torch.tensor(features), torch.tensor(labels))
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        for i in range(12):
            others = [j for j in range(12) if labels[j] != labels[i]]
            assert int(found[i]) == max(others, key=lambda j: unit[i] @ unit[j])
        assert there.all()


def test_a_batch_of_one_category_has_no_negative():
    _, there = hardest_negatives(torch.randn(4, 3), torch.zeros(4, dtype=torch.int64))
    assert not there.any()


def built(method, classes=3):
    torch.manual_seed(0)
    networks = method.networks({"image": 8, "text": 6}, classes)
    return networks, torch.randn(9, 8), torch.randn(9, 6), torch.arange(9) % classes


def test_a_discriminator_that_knows_nothing_costs_twice_the_logarithm_of_two():
    method = ACMR(image_width=4, text_width=4, n_components=3)
    networks, images, texts, labels = built(method)
    nn.init.zeros_(method.discriminator_[-1].weight)
    nn.init.zeros_(method.discriminator_[-1].bias)
    terms = method.loss(networks["image"](images), networks["text"](texts), labels)
    assert float(terms["modality"]) == pytest.approx(2 * math.log(2))


def test_the_embedding_loss_of_acmr_is_what_loops_give():
    method = ACMR(image_width=4, text_width=4, n_components=3, margin=0.7, negative_weight=0.4)
    networks, images, texts, labels = built(method)
    codes = [networks["image"](images), networks["text"](texts)]
    terms = method.loss(*codes, labels)
    v, t = (values.detach().numpy().astype(float) for values in codes)
    weights = method.classifier_.weight.detach().numpy(), method.classifier_.bias.detach().numpy()
    pairs = category = 0.0
    for anchors, others, features in ((v, t, images), (t, v, texts)):
        negatives, _ = hardest_negatives(features, labels)
        for i in range(9):
            far = np.sum((anchors[i] - others[int(negatives[i])]) ** 2)
            pairs += np.sum((v[i] - t[i]) ** 2) + 0.4 * max(0.0, 0.7 - far)
            logits = anchors[i] @ weights[0].T + weights[1]
            category += np.log(np.exp(logits).sum()) - logits[int(labels[i])]
    assert float(terms["pairs"]) == pytest.approx(method.pair_weight * pairs / 9, rel=1e-5)
    assert float(terms["category"]) == pytest.approx(category / 9, rel=1e-5)


def test_encoders_of_acmr_climb_what_the_discriminator_descends():
    method = ACMR(image_width=4, text_width=4, n_components=3, adversarial_weight=0.5)
    networks, images, texts, labels = built(method)
    plain = copy.deepcopy(networks)
    method.loss(networks["image"](images), networks["text"](texts), labels)["modality"].backward()
    codes = torch.cat([plain["image"](images), plain["text"](texts)])
    probabilities = torch.sigmoid(plain["discriminator"](codes)[:, 0])
    cost = -(torch.log(probabilities[:9]).mean() + torch.log(1 - probabilities[9:]).mean())
    cost.backward()
    encoder = networks["image"].layers[0].weight.grad
    torch.testing.assert_close(encoder, -0.5 * plain["image"].layers[0].weight.grad, rtol=1e-4, atol=1e-7)
    discriminator = networks["discriminator"][0].weight.grad
    torch.testing.assert_close(discriminator, plain["discriminator"][0].weight.grad, rtol=1e-4, atol=1e-7)


def test_dropout_of_acmr_leaves_hidden_units_out_of_training_alone_and_none_of_a_code():
    pairs = pairs_of()
    method = ACMR(image_width=400, text_width=400, n_components=300, epochs=1, dropout=0.5).fit(pairs, pairs)
    encoder = method.encoders_["image"].train()
    kinds = [type(layer) for layer in encoder.layers]
    assert kinds == [nn.Linear, nn.Tanh, nn.Dropout, nn.Linear, nn.Tanh]
    features = torch.tensor(pairs.images)
    hidden, codes = encoder.layers[:3](features), encoder(features)
    assert 0.45 < (hidden == 0).float().mean() < 0.55
    assert not (codes == 0).any()
    assert not (encoder.eval().layers[:3](features) == 0).any()


def test_the_released_acmr_keeps_its_random_classifier_and_has_no_adversary():
    method = ACMRReleased(image_width=4, text_width=4, n_components=3, epochs=3, batch_size=20)
    kept = []
    original = method.networks

    def watched(*arguments):
        networks = original(*arguments)
        kept.append(method.classifier_.weight.detach().clone())
        return networks

    method.networks = watched
    pairs = pairs_of()
    method.fit(pairs, pairs)
    assert torch.equal(method.classifier_.weight, kept[0])
    assert set(original({"image": 8, "text": 6}, 3)) == {"image", "text", "classifier"}
    assert not any(weights.requires_grad for weights in method.classifier_.parameters())


def test_the_released_acmr_has_the_layers_of_the_program_and_the_initial_values():
    torch.manual_seed(0)
    networks = ACMRReleased().networks({"image": 4096, "text": 5000}, 10)
    shapes = {
        name: [tuple(layer.weight.shape[::-1]) for layer in networks[name].layers if hasattr(layer, "weight")]
        for name in ("image", "text")
    }
    assert shapes == {
        "image": [(4096, 512), (512, 100), (100, 40)],
        "text": [(5000, 40), (40, 100), (100, 40)],
    }
    last = networks["image"].layers[-2]
    bound = math.sqrt(6 / (100 + 40))  # Xavier's; PyTorch's own is 0.1 here
    assert 0.99 * bound < float(last.weight.detach().abs().max()) <= bound
    assert not last.bias.any()


def test_the_released_class_term_weighs_the_cross_entropies_of_both_modalities_by_100():
    method = ACMRReleased(image_width=4, text_width=4, second_width=5, n_components=3)
    networks, images, texts, labels = built(method)
    codes = [networks["image"](images), networks["text"](texts)]
    weights, bias = method.classifier_.weight.detach().numpy(), method.classifier_.bias.detach().numpy()
    expected = 0.0
    for values in codes:
        for i, logits in enumerate(values.detach().numpy() @ weights.T + bias):
            expected += 100 * (np.log(np.exp(logits).sum()) - logits[int(labels[i])]) / 9
    assert float(method.loss(*codes, labels)["category"]) == pytest.approx(expected, rel=1e-5)


def test_the_released_hinge_sums_over_the_batch():
    method = ACMRReleased(image_width=4, text_width=4, n_components=3)
    networks, images, texts, labels = built(method)
    codes = [networks["image"](images), networks["text"](texts)]
    terms = method.loss(*codes, labels)
    v, t = (values.detach().numpy().astype(float) for values in codes)
    expected = 0.0
    for anchors, others, features in ((v, t, images), (t, v, texts)):
        negatives, _ = hardest_negatives(features, labels)
        expected += max(
            0.0, 0.1 + 2.5 * np.sum((v - t) ** 2) - 0.5 * np.sum((anchors - others[negatives.numpy()]) ** 2)
        )
    assert float(terms["pairs"]) == pytest.approx(expected, rel=1e-5)


def test_the_pair_loss_of_dscmr_is_what_loops_give_and_stays_within_its_bounds():
    random = np.random.default_rng(0)
    v, t, labels = random.normal(size=(6, 4)), random.normal(size=(6, 4)), np.array([0, 1, 2, 0, 1, 1])
    total = 0.0
    for left, right in ((v, v), (v, t), (t, t)):
        for i in range(6):
            for j in range(6):
                half = left[i] @ right[j] / np.linalg.norm(left[i]) / np.linalg.norm(right[j]) / 2
                total += (math.log1p(math.exp(half)) - (labels[i] == labels[j]) * half) / 36
    loss = float(pair_loss(torch.tensor(v), torch.tensor(t), torch.tensor(labels)))
    assert loss == pytest.approx(total, rel=1e-6)
    lowest, highest = 3 * (math.log1p(math.exp(0.5)) - 0.5), 3 * math.log1p(math.exp(0.5))
    assert lowest <= loss <= highest
    assert float(pair_loss(5 * torch.tensor(v), torch.tensor(t), torch.tensor(labels))) == pytest.approx(loss)


def test_the_norms_of_dscmr_are_those_of_rows_or_of_the_matrix():
    rows = torch.tensor([[3.0, 4.0], [0.0, 12.0], [0.0, 0.0]], requires_grad=True)
    assert float(row_norm(rows)) == pytest.approx((5 + 12 + 0) / 3, abs=1e-5)
    assert float(matrix_norm(rows)) == pytest.approx(13 / 3, abs=1e-5)
    row_norm(rows).backward()
    assert torch.isfinite(rows.grad).all()


@pytest.mark.parametrize("norm", ["rows", "frobenius"])
def test_the_loss_of_dscmr_is_what_loops_over_items_give(norm):
    method = DSCMR(hidden_width=5, n_components=4, pair_weight=0.3, partner_weight=0.07, norm=norm)
    networks, images, texts, labels = built(method)
    outputs = [networks["image"](images), networks["text"](texts)]
    terms = method.loss(*outputs, labels)
    v, t = (values.detach().numpy().astype(float) for values in outputs)
    weights, bias = method.classifier_.weight.detach().numpy(), method.classifier_.bias.detach().numpy()

    def of_norms(norms):
        return sum(norms) / 9 if norm == "rows" else math.sqrt(sum(each**2 for each in norms)) / 9

    expected = dict.fromkeys(("category", "pairs"), 0.0)
    for items in (v, t):
        far = [items[i] @ weights.T + bias - np.eye(3)[int(labels[i])] for i in range(9)]
        expected["category"] += of_norms([math.sqrt(sum(row**2)) for row in far])
    for left, right in ((v, v), (v, t), (t, t)):
        for i in range(9):
            for j in range(9):
                half = left[i] @ right[j] / np.linalg.norm(left[i]) / np.linalg.norm(right[j]) / 2
                same = int(labels[i]) == int(labels[j])
                expected["pairs"] += 0.3 * (math.log(1 + math.exp(half)) - same * half) / 81
    expected["partners"] = 0.07 * of_norms([math.sqrt(sum((v[i] - t[i]) ** 2)) for i in range(9)])
    assert {name: float(value.detach()) for name, value in terms.items()} == pytest.approx(expected, rel=1e-5)


def test_dscmr_as_released_has_the_settings_of_its_program():
    method = load_method("dscmr", preset="released")
    settings = method.get_params(deep=False)
    assert {
        "hidden_width": 2048,
        "n_components": 1024,
        "batch_size": 100,
        "epochs": 500,
        "patience": 500,
        "learning_rate": 1e-4,
        "weight_decay": 0.0,
        "dropout": 0.0,
        "preprocessing": "none",
        "pair_weight": 1e-3,
        "partner_weight": 0.1,
        "norm": "rows",
    }.items() <= settings.items()
    networks, *_ = built(method)
    for group in method.optimizer_of(list(networks.values())).param_groups:
        assert (group["lr"], group["betas"], group["weight_decay"]) == (1e-4, (0.5, 0.999), 0.0)


def test_both_modalities_of_dscmr_share_their_last_layer_which_is_trained_once():
    method = DSCMR(hidden_width=5, n_components=4)
    networks, *_ = built(method)
    assert networks["image"][-1] is networks["text"][-1]
    parameters = [
        values
        for group in method.optimizer_of(list(networks.values())).param_groups
        for values in group["params"]
    ]
    assert len({id(values) for values in parameters}) == len(parameters) == 8


@pytest.mark.parametrize(
    "method",
    [
        ACMR(image_width=32, text_width=32, n_components=16, epochs=30, batch_size=30, learning_rate=1e-3),
        ACMRReleased(image_width=32, text_width=32, epochs=30, batch_size=30, learning_rate=1e-3),
        DSCMR(hidden_width=32, n_components=16, epochs=30, batch_size=30, learning_rate=1e-3),
    ],
    ids=lambda method: method.name,
)
def test_they_find_categories_that_are_there(method):
    pairs, others = pairs_of(n=90), pairs_of(n=90)
    method.fit(pairs, others)
    assert method.validation_map_ > 0.7  # chance is about a third


@pytest.mark.parametrize("method", [ACMR, ACMRReleased])
def test_acmr_hands_out_all_that_its_loss_needs_and_keeps_no_batch(method):
    """What is not handed out is not moved to a GPU."""
    pairs = pairs_of()
    made = method(image_width=8, text_width=8, n_components=5, epochs=2, batch_size=20)
    handed = made.networks({"image": pairs.images.shape[1], "text": pairs.texts.shape[1]}, 3)
    assert made.classifier_ in handed.values()
    made.fit(pairs, pairs)
    assert all(encoder.features is None for encoder in made.encoders_.values())
