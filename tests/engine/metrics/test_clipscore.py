import numpy as np

from engine.metrics import clipscore


def test_clipscore_is_two_and_a_half_times_the_positive_cosine():
    images = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    texts = np.array([[1.0, 1.0], [-1.0, 0.0], [0.0, 5.0]])
    np.testing.assert_allclose(clipscore.clipscore(images, texts), [2.5 * 0.5**0.5, 0.0, 2.5])


def test_refclipscore_is_the_harmonic_mean_with_the_best_reference():
    texts = np.array([[1.0, 0.0], [1.0, 0.0]])
    references = [np.array([[0.0, 1.0], [0.6, 0.8]]), np.array([[-1.0, 0.0]])]
    found = clipscore.refclipscore(np.array([2.0, 2.0]), texts, references)
    # Harmonic mean of 2.0 and cos 0.6; the second has no positive cosine.
    np.testing.assert_allclose(found, [2 * 2.0 * 0.6 / 2.6, 0.0])
