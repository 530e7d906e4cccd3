"""Distances against torch-fidelity's figures, closed forms, and each other."""

import numpy as np
import pytest
import scipy.linalg

from tests import golden_metrics
from vpt_gen.errors import UserError
from vpt_gen.evaluation import distances, pairwise
from vpt_gen.evaluation.distances import (
    density_coverage,
    frechet,
    frechet_from_moments,
    inception_score,
    kid,
    mmd2,
    precision_recall,
)


def golden(name):
    return golden_metrics.arrays("metrics_inputs.npz")[name]


def expected(metric):
    return golden_metrics.facts("metrics_results.json")[metric]


@pytest.fixture
def features():
    generator = np.random.default_rng(0)
    return generator.standard_normal((400, 5)) @ generator.standard_normal((5, 5))


def moments(rows):
    rows = np.asarray(rows, np.float64)
    return rows.mean(axis=0), np.cov(rows, rowvar=False)


@golden_metrics.needed
def test_frechet_is_exact():
    figures = expected("fid")
    found = frechet(golden("a"), golden("b"))
    np.testing.assert_allclose(found, figures["exact_float64"], rtol=1e-9)
    np.testing.assert_allclose(found, figures["torch_fidelity_float64_features"], atol=1e-6)
    np.testing.assert_allclose(found, figures["torch_fidelity"], rtol=1e-6)
    statistics = [golden(name) for name in ("mu_a", "sigma_a", "mu_b", "sigma_b")]
    found = frechet_from_moments(*statistics)
    np.testing.assert_allclose(found, figures["torch_fidelity"], rtol=1e-6)


@golden_metrics.needed
def test_frechet_with_fewer_rows_than_columns_is_exact():
    a, b = golden("a_rank_deficient"), golden("b_rank_deficient")
    exact = expected("fid_rank_deficient")["exact_float64"]
    np.testing.assert_allclose(frechet(a, b), exact, rtol=1e-9)
    np.testing.assert_allclose(frechet_from_moments(*moments(a), *moments(b)), exact, rtol=1e-9)


@pytest.mark.slow
@golden_metrics.needed
@pytest.mark.parametrize("case", ["default", "small", "degree2"])
def test_kid_is_that_of_torch_fidelity(case):
    figures = expected("kid")[case]
    settings = figures["settings"]
    found = kid(
        golden("a"),
        golden("b"),
        num_subsets=settings["kid_subsets"],
        subset_size=settings["kid_subset_size"],
        seed=settings["rng_seed"],
        degree=settings["kid_kernel_poly_degree"],
        gamma=settings["kid_kernel_poly_gamma"],
        coef0=settings["kid_kernel_poly_coef0"],
    )
    np.testing.assert_allclose(found.mean, figures["mean_float64"], rtol=1e-10)
    np.testing.assert_allclose(found.std, figures["std_float64"], rtol=1e-10)
    np.testing.assert_allclose(found, (figures["mean"], figures["std"]), atol=1e-6)


@pytest.mark.parametrize("num_subsets", [20, 200])  # One by one; from all pairs at once.
def test_kid_is_the_mean_over_its_subsets(features, num_subsets):
    others, random = features[::-1] * 1.1, np.random.RandomState(2020)
    values = [
        mmd2(*(x[random.choice(400, 30, replace=False)] for x in (features, others)))
        for _ in range(num_subsets)
    ]
    found = kid(features, others, num_subsets=num_subsets, subset_size=30)
    np.testing.assert_allclose(found, (np.mean(values), np.std(values)), rtol=1e-10)


@golden_metrics.needed
def test_mmd2_is_exact():
    a, b = golden("a"), golden("b")
    exact = expected("kid")["exact_unbiased_mmd2_full_sets"]["value"]
    np.testing.assert_allclose(mmd2(a, b), exact, rtol=1e-10)
    equal = expected("kid")["exact_unbiased_mmd2_equal_sizes"]
    np.testing.assert_allclose(mmd2(a[: equal["n"]], b[: equal["n"]]), equal["value"], rtol=1e-10)


@golden_metrics.needed
@pytest.mark.parametrize(
    "case", ["default", "no_shuffle", "seed_7_splits_5", "uneven", "one_split"]
)
def test_inception_score_is_that_of_torch_fidelity(case):
    figures = expected("isc")[case]
    settings = figures["settings"]
    found = inception_score(
        golden(figures["logits"]),
        splits=settings["splits"],
        shuffle=settings["shuffle"],
        seed=settings["rng_seed"],
    )
    np.testing.assert_allclose(found, (figures["mean"], figures["std"]), rtol=1e-9)


@golden_metrics.needed
@pytest.mark.parametrize("k", [3, 5])
def test_precision_recall_density_coverage_are_exact(k):
    figures = expected("prc")[f"k{k}"]["exact_float64"]
    generated, real = golden("prc_gen"), golden("prc_real")
    found = {
        **precision_recall(generated, real, k=k)._asdict(),
        **density_coverage(generated, real, k=k)._asdict(),
    }
    assert found == pytest.approx(figures, rel=1e-12)


@golden_metrics.needed
def test_generated_comes_first():
    figures = expected("prc")["k3_arguments_swapped"]
    found = precision_recall(golden("prc_real"), golden("prc_gen"))
    np.testing.assert_allclose(found, (figures["precision"], figures["recall"]), rtol=1e-6)


def test_a_set_is_at_distance_zero_from_itself(features):
    assert abs(frechet(features, features)) < 1e-12
    assert abs(frechet_from_moments(*moments(features), *moments(features))) < 1e-12
    assert precision_recall(features, features) == (1.0, 1.0)


def test_a_shift_costs_its_squared_length(features):
    shift = np.arange(5.0)
    np.testing.assert_allclose(frechet(features, features + shift), shift @ shift)


def test_the_general_case_agrees_with_the_matrix_square_root(features):
    other = np.random.default_rng(1).standard_normal((300, 5)) * np.arange(1, 6) + 1
    (mean_a, a), (mean_b, b) = moments(features), moments(other)
    difference = mean_a - mean_b
    expected = difference @ difference + np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real)
    np.testing.assert_allclose(frechet(features, other), expected)
    np.testing.assert_allclose(frechet(other, features), expected)
    np.testing.assert_allclose(frechet_from_moments(mean_a, a, mean_b, b), expected)


def test_blocks_change_nothing(features, monkeypatch):
    others = features[::-1] * 1.1 + 0.1
    compare = (mmd2, precision_recall, density_coverage)
    whole = [metric(features, others) for metric in compare]
    monkeypatch.setattr(distances, "_BLOCK_ROWS", 7)
    monkeypatch.setattr(pairwise, "_BLOCK_BYTES", 8 * 400 * 7)
    for metric, value in zip(compare, whole, strict=True):
        np.testing.assert_allclose(metric(features, others), value, rtol=1e-10)


def by_definition(generated, real, k):
    """Precision and recall with their balls' surfaces, density and coverage without; exact."""
    exact = [np.asarray(x).astype(int).astype(object) for x in (generated, real)]

    def squares(a, b):
        return np.array([[((x - y) ** 2).sum() for y in b] for x in a], np.int64)

    generated, real = exact
    radii, own = (np.sort(squares(x, x), axis=1)[:, k] for x in (real, generated))
    between = squares(generated, real)
    inside = between < radii
    return (
        (between <= radii).any(axis=1).mean(),
        (between <= own[:, None]).any(axis=0).mean(),
        inside.sum() / (k * len(generated)),
        inside.any(axis=0).mean(),
    )


@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("values", [2, 3, 256])
def test_rounding_does_not_decide_ties(values, dtype, offset):
    random = np.random.default_rng(values)
    generated, real = (random.integers(0, values, (n, 7)) + offset for n in (60, 70))
    generated[:10] = real[:10]  # Copies, whose distances are radii.
    sets = generated.astype(dtype), real.astype(dtype)
    found = (*precision_recall(*sets, k=3), *density_coverage(*sets, k=3))
    assert found == pytest.approx(by_definition(generated, real, 3), abs=1e-12)


def test_copies_of_real_images_lie_on_the_surfaces_of_balls(features):
    real = features[:200].astype(np.float32)
    shuffled = np.random.default_rng(0).permutation(real)
    # Each ball holds its own image and k - 1 others; the k-th is on its surface.
    assert density_coverage(shuffled, real, k=5) == (1.0, 1.0)


def test_dead_and_repeated_features_are_no_obstacle(features):
    wide = np.concatenate([features, np.zeros((400, 3)), features], axis=1)
    others = wide * 1.5
    expected = 2 * frechet(features, features * 1.5)
    np.testing.assert_allclose(frechet(wide, others), expected, rtol=1e-9)
    found = frechet_from_moments(*moments(wide), *moments(others))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    constant = np.ones((9, 4))
    assert (
        frechet(constant, constant + 1.0)
        == frechet_from_moments(*moments(constant), *moments(constant + 1.0))
        == 4.0
    )


def test_images_that_occur_many_times_lie_in_their_own_balls(features):
    real = np.repeat(100.0 + features[:20], 5, axis=0)
    assert precision_recall(real[:5], real) == (1.0, 0.05)
    # The balls have no size, so their surface is all they have.
    assert density_coverage(real[:5], real, k=3) == (0.0, 0.0)


def test_single_precision_is_widened_before_it_is_computed_with(features):
    # A mean large against the spread, which single precision would lose.
    single = (1e4 + features).astype(np.float32)
    double = single.astype(np.float64)
    for metric in (frechet, mmd2, precision_recall, density_coverage):
        found, expected = (metric(x[:200], x[200:]) for x in (single, double))
        np.testing.assert_array_equal(found, expected)


def test_half_precision_and_lists_are_taken(features):
    half = features.astype(np.float16)
    np.testing.assert_allclose(
        frechet(half, features.tolist()), frechet(half.astype(np.float64), features)
    )


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("metric", [frechet, mmd2, precision_recall])
def test_too_few_images_are_said(features, metric, count):
    with pytest.raises(UserError, match=f"Too few images to compare: there are {count} and 400;"):
        metric(features[:count], features)


def test_one_generated_image_has_a_density(features):
    assert density_coverage(features[:1], features).density > 0
    with pytest.raises(UserError, match="there are 400 and 5; at least 1 and 6"):
        density_coverage(features, features[:5])


def test_fewer_images_than_a_subset_names_the_number_and_the_cure(features):
    with pytest.raises(UserError, match="subsets of 1,000 images, but one set has only 50: choose"):
        kid(features, features[:50])


def test_fewer_images_than_splits_are_said(features):
    with pytest.raises(UserError, match="over 10 splits needs 10 images or more, not 4"):
        inception_score(features[:4])


def test_one_image_has_an_inception_score_of_one(features):
    assert inception_score(features[:1], splits=1) == pytest.approx((1.0, 0.0))


def test_an_inception_score_of_classes_without_any_probability():
    certain = np.tile([0.0, -2000.0], (20, 1))
    assert inception_score(certain) == pytest.approx((1.0, 0.0))
    assert inception_score(np.concatenate([certain, -certain]), splits=1).mean == pytest.approx(2.0)


def test_features_that_cannot_be_compared_are_refused(features):
    with pytest.raises(UserError, match="rows of one width"):
        frechet(features, features[:, :3])
    with pytest.raises(UserError, match="not finite"):
        frechet(features, features * np.nan)
    with pytest.raises(UserError, match="not finite"):
        frechet_from_moments(*moments(features), np.full(5, np.nan), np.eye(5))
    with pytest.raises(ValueError, match="Means"):
        frechet_from_moments(*moments(features), *moments(features[:, :3]))
