"""Tables of recipes/README.md: the two flows on test images, and the claims."""

from __future__ import annotations

from recipes.results.cells import each, joined
from recipes.results.tables import Claim, Table, all_claimed, claimed, claims

LEFT_OUT = ("distance_between_samples", "dims", "not_finite", "condition_max", "weights", "seconds")
PARTS = {
    "posteriors": Table(
        {"given what is seen": "shown", "blind": "blind"},
        {
            "bits per hidden pixel, test / training images": joined(
                " / ", each("bits_per_dim", "3"), each("bits_per_dim_of_training_images", "3")
            ),
            "y(sample) - y": each("seen_difference"),
            "deviation of a hidden pixel": each("sd", "3"),
            "error of the mean / of samples": joined(" / ", each("error_of_mean", "3"), each("error_of_samples", "3")),
            "energy score / of a point mass at the mean": joined(
                " / ", each("energy_score", "3"), each("energy_score_of_mean", "3")
            ),
            "true digit recognized*": joined(" +- ", each("recognized.share", ".1%"), each("recognized.error", ".1%")),
            "deviation of ranks over uniform": each("rank_deviation", "4"),
            "p of ranks / coverage / TARP": joined(" / ", each("sbc_p"), each("coverage_p"), each("tarp_p")),
            "spread over error": each("spread_over_error"),
            "largest reconstruction error": each("reconstruction_max"),
            "condition number, median": each("condition_median", "3"),
        },
        label="flow",
    ),
    "yardsticks": Table(
        {"whole true images": "recognized.truth", "their hidden part black": "recognized.hidden part black"},
        {"recognized*": joined(" +- ", each("share", ".1%"), each("error", ".1%"))},
        label="images",
    ),
    "claims": claims(
        Claim(
            "what is seen lowers the bits of what is hidden: bits saved a pixel",
            claimed("bits per hidden pixel that seeing the rest saves"),
            ("above", 0.0),
            remark="Uniform noise within a level costs Gaussian models of black pixels up to 0.25 bits in either flow",
        ),
        Claim(
            "samples agree with what is seen, exactly, and a point mass at their mean has a worse energy score",
            all_claimed("what is seen is in every sample, exactly", "energy score below that of a point mass at the mean"),
            remark="The first by construction",
        ),
        Claim(
            "the true digit is in samples more often than by chance, and than in the blind flow's, by 3 standard errors",
            all_claimed(
                "more often than by chance, by 3 standard errors",
                "more often than in those of the blind flow, by 3 standard errors",
            ),
        ),
        Claim(
            "ranks, coverage and TARP of the hidden part's mean and four random projections are not rejected at 1 %",
            claimed("not rejected at 1 % by ranks, coverage, TARP"),
            remark="On 500 training images it is rejected, too (ranks 0.0055, coverage 0.001, TARP 0.012), as the blind flow "
            "is: it is the fit of a small flow more than what it has learned by heart",
        ),
        Claim(
            "the inverse is whole: largest error of a test image, all finite",
            claimed("largest error of reconstructed test images"),
            ("below", 1e-3),
        ),
    ),
}
