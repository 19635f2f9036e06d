"""The shortest vector in the convex hull of the task gradients."""

from mtjax.weighting.base import Weighting
from mtjax.weighting.gram import from_gram
from mtjax.weighting.quadratic import smallest_in_hull


def mgda(names: tuple[str, ...], /) -> Weighting:
    """The multiple-gradient descent algorithm: `d` is the shortest convex combination of the task gradients.

    No task's gradient has an inner product with `d` below `‖d‖²`, and `d` is 0 exactly where no direction improves
    all tasks. The weights sum to 1; a present task with a zero gradient therefore takes all of the weight.

    Args:
        names: the tasks, in order.

    Source: Désidéri, "Multiple-gradient descent algorithm (MGDA)", Comptes Rendus Mathématique 2012; Sener and Koltun,
    "Multi-task learning as multi-objective optimization", NeurIPS 2018, equation 3.
    """
    del names
    return from_gram(smallest_in_hull)
