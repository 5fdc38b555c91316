"""The numbers printed in the Threshold KNN-Shapley paper (Wang et al., NeurIPS 2023, arXiv 2308.15709).

AUROC is that of finding the corrupted tenth of the training rows by low values: under differential privacy in
Tables 2 and 8, without it in the others; in Tables 1, 4, 5 and 6 it is that of telling members from
non-members by the value of a copy, of one run each.

Three things to know when setting other numbers beside them, each found by running the experiments again:

* Tables 13 and 14 agree with the soft-label game to the third decimal when each row is read from right to
  left: the column printed under K = k is what K = 16 - k gives.
* The KNN column of Table 10 is the K = 5 column of Table 14 with Phoneme and CPU exchanged, and so is what
  K = 11 gives, not K = 5.
* Table 3 and the tau = 0.5 column of Table 11 are two runs of the same thing: they differ by up to .004.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "EPSILONS",
    "KS",
    "KS_ATTACKED",
    "K_MEMBERSHIP",
    "K_MISLABEL",
    "K_NOISY",
    "MISLABEL",
    "NOISY",
    "PRIVATE_MEMBERSHIP",
    "PRIVATE_MISLABEL",
    "PRIVATE_NOISY",
    "TAUS",
    "TAU_MEMBERSHIP",
    "TAU_MISLABEL",
    "TAU_NOISY",
    "Detection",
    "PrivateDetection",
]


@dataclass(frozen=True)
class Detection:
    """AUROC printed for one data set; None where the paper gives none."""

    tknn: float
    knn: float
    data_shapley: float | None
    loo: float | None
    banzhaf: float | None


def _rows(text: str) -> dict[str, tuple[float, ...]]:
    lines = [line.split() for line in text.strip().splitlines()]
    return {name: tuple(map(float, cells)) for name, *cells in lines}


def _detections(text: str) -> dict[str, Detection]:
    lines = [line.split() for line in text.strip().splitlines()]
    return {
        name: Detection(float(tknn), float(knn), *(None if cell == "-" else float(cell) for cell in others))
        for name, tknn, knn, *others in lines
    }


TAUS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Cosine similarity from which a row is a neighbour: a radius of ``1 - tau`` in cosine distance."""

KS = tuple(range(1, 16))

# dataset  Threshold-KNN  KNN  Data Shapley  leave-one-out  Data Banzhaf
MISLABEL = _detections("""
2dplanes   .919 .913 .552 .458 .548
phoneme    .826 .873 .525 .484 .604
cpu        .946 .932 .489 .496 .513
fraud      .960 .967 .488 .495 .534
creditcard .662 .646 .517 .487 .536
apsfail    .958 .948 .496 .485 .506
click      .572 .568 .474 .504 .528
wind       .889 .896 .469 .456 .512
pol        .871 .928 .512 .538 .473
mnist      .962 .974 -    -    -
cifar10    .957 .991 -    -    -
ag_news    .956 .971 -    -    -
dbpedia14  .981 .991 -    -    -
""")
"""Tables 3 and 9: wrong labels, tau = 0.5, K = 5."""

NOISY = _detections("""
2dplanes   .705 .718 .545 .504 .656
phoneme    .710 .706 .490 .531 .631
cpu        .751 .726 .527 .459 .531
fraud      .818 .794 .502 .526 .582
creditcard .611 .640 .535 .513 .506
apsfail    .841 .666 .533 .465 .566
click      .558 .547 .461 .503 .572
wind       .691 .794 .495 .488 .540
pol        .680 .790 .526 .503 .588
mnist      .613 .815 -    -    -
cifar10    .850 .935 -    -    -
ag_news    .804 .746 -    -    -
dbpedia14  .719 .880 -    -    -
""")
"""Table 10: noisy features, tau = 0.5, K = 5."""

TAU_MISLABEL = _rows("""
2dplanes   .889 .902 .911 .918 .920 .887 .862 .725 .553
cpu        .952 .956 .954 .952 .950 .943 .917 .895 .834
phoneme    .790 .799 .805 .811 .825 .834 .844 .859 .861
fraud      .961 .956 .951 .954 .959 .957 .931 .884 .750
creditcard .653 .671 .668 .669 .662 .652 .648 .606 .539
apsfail    .959 .952 .962 .967 .962 .952 .924 .899 .851
click      .576 .552 .557 .560 .568 .556 .547 .538 .522
wind       .875 .879 .882 .885 .888 .889 .879 .888 .775
pol        .847 .854 .864 .871 .875 .878 .890 .878 .860
""")
"""Table 11: wrong labels, Threshold-KNN, one column for each of ``TAUS``."""

TAU_NOISY = _rows("""
2dplanes   .671 .691 .704 .696 .705 .694 .678 .626 .528
cpu        .691 .687 .696 .709 .751 .777 .789 .786 .750
phoneme    .681 .688 .691 .698 .710 .718 .716 .725 .720
fraud      .758 .781 .804 .809 .818 .837 .847 .814 .664
creditcard .579 .576 .585 .597 .611 .624 .642 .626 .574
apsfail    .771 .822 .834 .855 .841 .842 .828 .792 .749
click      .530 .544 .537 .539 .558 .563 .521 .521 .539
wind       .592 .612 .637 .663 .691 .727 .747 .754 .719
pol        .594 .638 .643 .661 .680 .682 .712 .721 .699
""")
"""Table 12: noisy features, Threshold-KNN, one column for each of ``TAUS``."""

K_MISLABEL = _rows("""
2dplanes   .914 .914 .915 .915 .916 .915 .915 .914 .915 .915 .914 .910 .905 .898 .896
cpu        .936 .936 .937 .937 .937 .937 .938 .937 .936 .934 .932 .929 .928 .927 .921
phoneme    .859 .861 .862 .862 .864 .865 .868 .868 .869 .871 .871 .871 .871 .874 .860
fraud      .972 .972 .971 .971 .972 .972 .972 .971 .971 .971 .970 .970 .967 .968 .966
creditcard .652 .652 .653 .653 .653 .651 .650 .651 .651 .649 .646 .642 .638 .637 .634
apsfail    .952 .952 .952 .952 .951 .951 .949 .948 .947 .947 .948 .949 .949 .950 .950
click      .560 .562 .564 .563 .566 .566 .563 .562 .562 .563 .567 .566 .557 .547 .553
wind       .900 .900 .900 .900 .900 .899 .899 .899 .899 .898 .896 .897 .896 .891 .890
pol        .931 .931 .931 .931 .930 .929 .929 .930 .929 .927 .925 .922 .919 .914 .917
""")
"""Table 13: wrong labels, KNN, one column for each of ``KS``, in the order printed."""

K_NOISY = _rows("""
2dplanes   .719 .719 .718 .718 .718 .717 .716 .715 .714 .712 .712 .709 .704 .703 .703
cpu        .700 .702 .703 .705 .706 .706 .709 .711 .717 .723 .730 .736 .744 .751 .766
phoneme    .718 .721 .722 .724 .726 .729 .732 .735 .738 .741 .739 .740 .739 .740 .742
fraud      .786 .788 .789 .792 .794 .794 .795 .797 .797 .799 .803 .805 .811 .815 .822
creditcard .637 .638 .636 .638 .640 .642 .643 .644 .646 .646 .645 .642 .636 .636 .640
apsfail    .667 .667 .667 .666 .666 .666 .666 .668 .671 .674 .678 .683 .690 .711 .763
click      .544 .547 .552 .549 .547 .549 .549 .547 .548 .544 .544 .543 .543 .544 .545
wind       .796 .796 .795 .794 .794 .793 .792 .791 .791 .790 .788 .788 .788 .789 .791
pol        .789 .788 .788 .788 .790 .790 .788 .787 .786 .786 .787 .790 .786 .786 .785
""")
"""Table 14: noisy features, KNN, one column for each of ``KS``, in the order printed."""


# -- under differential privacy: Tables 2 and 8 ---------------------------------------------------

EPSILONS = ("0.1", "0.5", "1")


@dataclass(frozen=True)
class PrivateDetection:
    """AUROC printed for one data set and epsilon, each a mean and standard deviation over 5 runs.

    Args:
        tknn: DP-TKNN-Shapley with a subsample of 1 percent.
        knn: DP-KNN-Shapley of all rows.
        knn_subsampled: DP-KNN-Shapley with a subsample of 1 percent; None where the paper prints ``-``.
    """

    tknn: tuple[float, float]
    knn: tuple[float, float]
    knn_subsampled: tuple[float, float] | None


def _private(text: str) -> dict[str, dict[str, PrivateDetection]]:
    found: dict[str, dict[str, PrivateDetection]] = {}
    for line in text.strip().splitlines():
        name, epsilon, tknn, tknn_sd, knn, knn_sd, sub, sub_sd = line.split()
        subsampled = None if sub == "-" else (float(sub), float(sub_sd))
        row = PrivateDetection((float(tknn), float(tknn_sd)), (float(knn), float(knn_sd)), subsampled)
        found.setdefault(name, {})[epsilon] = row
    return found


# dataset  epsilon  DP-TKNN and its deviation  DP-KNN of all rows  DP-KNN of subsamples
PRIVATE_MISLABEL = _private("""
2dplanes   0.1 .883 .017 .490 .024 .733 .011
2dplanes   0.5 .912 .009 .488 .022 .815 .006
2dplanes   1   .913 .009 .504 .019 .821 .005
phoneme    0.1 .816 .011 .500 .014 .692 .011
phoneme    0.5 .826 .007 .497 .011 .738 .003
phoneme    1   .826 .005 .486 .010 .741 .002
cpu        0.1 .932 .007 .490 .028 .881 .005
cpu        0.5 .946 .004 .507 .029 .928 .002
cpu        1   .948 .002 .512 .008 .931 .002
fraud      0.1 .947 .004 .497 .020 -    -
fraud      0.5 .952 .002 .502 .026 -    -
fraud      1   .953 .003 .502 .008 -    -
creditcard 0.1 .661 .008 .511 .026 .584 .011
creditcard 0.5 .663 .008 .503 .021 .624 .011
creditcard 1   .668 .005 .491 .026 .627 .009
apsfail    0.1 .903 .078 .501 .018 -    -
apsfail    0.5 .952 .001 .521 .023 -    -
apsfail    1   .952 .000 .490 .031 -    -
click      0.1 .566 .017 .512 .013 .511 .024
click      0.5 .567 .013 .502 .018 .529 .012
click      1   .567 .007 .502 .021 .532 .010
wind       0.1 .861 .021 .489 .022 .836 .010
wind       0.5 .883 .002 .511 .021 .873 .004
wind       1   .882 .002 .486 .022 .875 .004
pol        0.1 .844 .006 .508 .012 -    -
pol        0.5 .858 .006 .500 .029 -    -
pol        1   .857 .001 .516 .020 -    -
mnist      0.1 .801 .002 .492 .007 -    -
mnist      0.5 .948 .002 .495 .005 -    -
mnist      1   .958 .002 .495 .005 -    -
cifar10    0.1 .924 .002 .496 .014 -    -
cifar10    0.5 .936 .002 .497 .012 -    -
cifar10    1   .949 .003 .497 .012 -    -
ag_news    0.1 .725 .002 .491 .002 -    -
ag_news    0.5 .733 .005 .492 .002 -    -
ag_news    1   .738 .002 .494 .002 -    -
dbpedia14  0.1 .652 .005 .499 .002 -    -
dbpedia14  0.5 .654 .002 .499 .002 -    -
dbpedia14  1   .657 .001 .500 .002 -    -
""")
"""Table 2: wrong labels by epsilon, tau = 0.5, K = 5."""

PRIVATE_NOISY = _private("""
2dplanes   0.1 .692 .014 .494 .023 .615 .010
2dplanes   0.5 .706 .004 .494 .012 .660 .004
2dplanes   1   .705 .007 .495 .011 .665 .004
phoneme    0.1 .648 .028 .475 .042 .566 .010
phoneme    0.5 .683 .014 .536 .033 .588 .004
phoneme    1   .685 .016 .494 .071 .590 .005
cpu        0.1 .805 .037 .420 .074 .709 .011
cpu        0.5 .838 .007 .472 .092 .746 .003
cpu        1   .839 .003 .455 .079 .748 .002
fraud      0.1 .813 .033 .468 .127 -    -
fraud      0.5 .850 .017 .548 .192 -    -
fraud      1   .859 .007 .497 .162 -    -
creditcard 0.1 .558 .017 .479 .115 .519 .014
creditcard 0.5 .571 .058 .513 .089 .541 .008
creditcard 1   .585 .048 .525 .107 .545 .006
apsfail    0.1 .693 .200 .456 .357 -    -
apsfail    0.5 .873 .014 .489 .139 -    -
apsfail    1   .882 .003 .494 .179 -    -
click      0.1 .550 .012 .439 .094 .497 .017
click      0.5 .555 .010 .506 .071 .503 .018
click      1   .559 .009 .488 .076 .504 .017
wind       0.1 .622 .167 .464 .282 .557 .017
wind       0.5 .668 .055 .554 .282 .601 .007
wind       1   .681 .032 .595 .257 .605 .008
pol        0.1 .604 .082 .530 .212 -    -
pol        0.5 .673 .039 .626 .153 -    -
pol        1   .695 .020 .622 .195 -    -
mnist      0.1 .841 .002 .384 .129 -    -
mnist      0.5 .873 .001 .389 .125 -    -
mnist      1   .881 .002 .400 .002 -    -
cifar10    0.1 .821 .002 .558 .013 -    -
cifar10    0.5 .847 .004 .560 .009 -    -
cifar10    1   .852 .001 .560 .006 -    -
ag_news    0.1 .611 .003 .421 .065 -    -
ag_news    0.5 .621 .001 .426 .075 -    -
ag_news    1   .627 .001 .426 .075 -    -
dbpedia14  0.1 .579 .002 .360 .070 -    -
dbpedia14  0.5 .586 .002 .360 .090 -    -
dbpedia14  1   .588 .001 .361 .070 -    -
""")
"""Table 8: noisy features by epsilon, tau = 0.5, K = 5."""

KS_ATTACKED = (1, 3, 5, 7, 9, 11, 13, 15)
"""The numbers of neighbours at which membership was attacked."""

K_MEMBERSHIP = _rows("""
2dplanes   .560 .595 .518 .520 .570 .550 .515 .600
phoneme    .692 .540 .513 .505 .505 .588 .512 .502
cpu        .765 .548 .520 .572 .588 .512 .612 .615
fraud      .625 .645 .600 .592 .622 .532 .538 .558
creditcard .542 .643 .628 .665 .503 .670 .602 .660
apsfail    .532 .595 .625 .600 .530 .645 .532 .520
click      .610 .525 .588 .538 .588 .582 .622 .618
wind       .595 .510 .518 .528 .558 .562 .505 .577
pol        .725 .695 .700 .620 .570 .522 .535 .532
""")
"""Table 1: membership by KNN values, one column for each of ``KS_ATTACKED``."""

TAU_MEMBERSHIP = _rows("""
2dplanes   .628 .558 .600 .665 .530 .688 .738 .799 .549
phoneme    .500 .522 .588 .692 .704 .673 .736 .679 .777
cpu        .508 .545 .580 .518 .512 .635 .638 .672 .750
fraud      .645 .700 .678 .715 .558 .594 .577 .529 .752
creditcard .520 .552 .597 .560 .590 .685 .664 .501 .550
apsfail    .526 .571 .569 .507 .558 .574 .608 .529 .506
click      .520 .560 .535 .735 .568 .600 .545 .560 .718
wind       .632 .562 .568 .580 .585 .585 .700 .650 .528
pol        .672 .532 .590 .592 .600 .715 .748 .620 .772
""")
"""Table 4: membership by Threshold-KNN values, one column for each of ``TAUS``; printed from .9 to .1."""

PRIVATE_MEMBERSHIP = {
    "0.5": _rows("""
2dplanes   .478 .466 .479 .510 .494 .518 .488 .474 .510
phoneme    .482 .538 .552 .484 .500 .506 .512 .505 .502
cpu        .527 .466 .468 .524 .523 .510 .486 .489 .468
fraud      .578 .484 .485 .484 .480 .513 .492 .474 .479
creditcard .535 .521 .448 .483 .501 .522 .511 .495 .518
apsfail    .454 .434 .493 .500 .486 .492 .471 .476 .484
click      .434 .452 .544 .482 .488 .484 .490 .491 .492
wind       .430 .522 .504 .488 .530 .492 .514 .496 .520
pol        .487 .523 .458 .488 .492 .496 .510 .503 .491
"""),
    "1": _rows("""
2dplanes   .556 .445 .484 .492 .518 .534 .513 .523 .500
phoneme    .470 .512 .543 .488 .476 .472 .524 .529 .507
cpu        .508 .490 .453 .489 .473 .485 .504 .487 .492
fraud      .530 .436 .496 .501 .497 .506 .502 .501 .508
creditcard .429 .498 .494 .495 .505 .505 .522 .494 .482
apsfail    .441 .545 .521 .480 .488 .486 .499 .498 .472
click      .456 .470 .545 .496 .518 .508 .501 .529 .502
wind       .419 .499 .529 .498 .493 .504 .478 .539 .533
pol        .528 .520 .489 .492 .482 .510 .509 .513 .498
"""),
}
"""Tables 5 and 6: the same by values under differential privacy, by epsilon; printed from .9 to .1."""
