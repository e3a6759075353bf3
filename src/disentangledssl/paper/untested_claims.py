"""What the paper says that no run here tests: theory, reasons, and comparisons that no preset makes.

Section, the claim in our words, and why it is not tested. What a run does test of it is a claim of its own.
"""

from __future__ import annotations

OPTIMA = "exact optima of mutual information, which no trained encoder is"
THEOREM = f"a theorem about {OPTIMA}"
PROOF = "a statement about distributions, which a proof settles and no run"
NO_NUMBER = "the paper measures nothing of it"

# By whether they stand before or behind what is tested.
THEORY = (
    ("1, 5", "optimal disentangled representations are learned", f"said of {OPTIMA}, by Prop. 1-4"),
    ("2.2.2", "where MNI is attainable, to allow no loss of shared information gives it", f"said of {OPTIMA}"),
    ("2.2.2", "elsewhere, to ask for all shared information lets in what the other view has not", f"said of {OPTIMA}"),
    (
        "2.2.2, B",
        "conditional information is the more precise measure of compression and the more robust objective",
        "no run has the bottleneck's unconditional term to set beside it",
    ),
    (
        "2.2.2, C",
        "the information curve is concave, never falls, and lies below two lines, on which it is where MNI is "
        "attainable",
        PROOF,
    ),
    (
        "2.2.3",
        "shared and specific representations together cover all of a view",
        f"said of {OPTIMA}; what both together hold is measured (R2 on screens), but has no bound to be held against",
    ),
    (
        "2.3",
        "one beta and one lam serve both views, since their information is on one scale",
        "no run gives views values of their own",
    ),
    (
        "2.3",
        "a representation short of its optimum does not help to learn the other one, hence two steps",
        "no table says how far a representation is from its optimum; step-wise against joint is a claim of Fig. 4b",
    ),
    ("2.3.1, Prop. 1", "where MNI is attainable, any beta > 0 reaches it", THEOREM),
    ("2.3.1, Prop. 2", "beta maps one to one to the limit delta_c on lost information", THEOREM),
    ("2.3.2, Prop. 3", "where MNI is attainable, the objectives of the specific representation are equal", THEOREM),
    ("2.3.2, Prop. 4", "elsewhere they differ by at most delta_c", THEOREM),
    (
        "2.4, G",
        "the divergence between both views' codes bounds the conditional information; on the sphere, that is a weight "
        "on alignment against uniformity",
        PROOF,
    ),
    ("A", "where each view is the OR of a shared and an own fair bit, MNI is unattainable", PROOF),
    (
        "E, Prop. 5-7",
        "MNI is attainable where one view determines the other, or both are independent wherever they have full "
        "support; with full support and dependence it is not",
        PROOF,
    ),
    ("F, Prop. 8", "at the MNI point shared information has no derivative", PROOF),
)
INTERPRETATIONS = (
    ("3.3", "what only one modality has is left out of the shared representation of a screen", NO_NUMBER),
    (
        "3.3, Table 2",
        "shared information is what retrieval needs",
        "all methods rank by shared codes, and none by specific ones",
    ),
    (
        "3.3, Table 3",
        "codes of other methods are redundant for want of constraints",
        "a reason for their lower gains, which are a claim of their own: no run gives them more constraints",
    ),
    ("5", "interpretability and robustness improve", NO_NUMBER),
    (
        "H.1, Fig. 7a",
        "at very large beta most codes come to nearly one point",
        "no table says how far apart the directions of codes are: code_std counts what all codes have in common, too",
    ),
    (
        "H.1, Fig. 9",
        "pure dimensions are favoured because a stronger bottleneck costs nothing there",
        "a reason: no run changes that cost alone",
    ),
    (
        "H.2, Table 4",
        "coverage and disentanglement are better balanced than by FOCAL and JointOpt",
        "read from accuracies: no table measures disentanglement on MultiBench",
    ),
    (
        "H.3",
        "an InfoNCE on its shared means helps DMVAE to retrieve",
        "no preset trains DMVAE on a screen without (dmvae.info_nce_weight: 0)",
    ),
    (
        "H.3, Table 5",
        "a specific code that tells nothing has a high Diff-FD-c, one that tells too much a high Diff-FD-s",
        "no run makes such codes; what FOCAL's has is a claim of its own",
    ),
)
