"""What a coordinator trains on the samples it was sent, and the roles of the training schemes that send them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ppbench.learners.dnn import Dnn
from ppbench.learners.knn import Knn
from ppbench.learners.learner import Learner
from ppbench.learners.svm import Svm

LEARNERS: Mapping[str, Callable[[], Learner]] = {"svm": Svm, "knn": Knn, "dnn": Dnn}
"""By the name that a scheme's option `learner` has for it."""

__all__ = ["LEARNERS", "Dnn", "Knn", "Learner", "Svm"]
